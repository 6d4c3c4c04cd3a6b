"""From an image to skeleton points: hands, pose, holistic, by MediaPipe or LiteRT. Model files come from `models`."""

from importlib.util import find_spec
from typing import Literal, get_args

from last_edge.errors import MissingError, UsageError
from last_edge.runtime.landmarks.source import LandmarkSource
from last_edge.skeleton import Layout, get_layout
from last_edge.skeleton.convert import conversions

Detector = Literal["hand", "hand_lite", "pose", "pose_lite", "pose_heavy", "holistic"]
DETECTORS: tuple[Detector, ...] = get_args(Detector)
By = Literal["auto", "mediapipe", "litert"]
MODULES = {"mediapipe": "mediapipe", "litert": "ai_edge_litert"}
GIVES: dict[str, Detector] = {
    "mediapipe_hand21": "hand",
    "mediapipe_pose33": "pose",
    "mediapipe_holistic75": "holistic",
    "mediapipe_holistic83": "holistic",
}
"""The points a detector gives; the first whose points are, or convert to, a bundle's layout feeds it."""
FACED = ("mediapipe_holistic83", "openpose137")
"""Layouts with points of the face."""


def detector_for(layout: Layout) -> Detector:
    """The detector whose points feed a layout; `UsageError` when none does."""
    known = conversions()
    for given, detector in GIVES.items():
        if layout.names == get_layout(given).names or (given, layout.name) in known:
            return detector
    raise UsageError(
        f"no landmark detector feeds the layout {layout.name!r}",
        hint="a --source with points of that layout: store:PATH or replay:FILE.pose",
    )


def create_landmarks(
    detector: Detector, *, hand: str = "first", layout: str = "", by: By = "auto", person: str = "largest",
    bodies: int = 1, detect_every: int = 1,
) -> LandmarkSource:  # fmt: skip
    """A ready detector.

    hand: which hand a hand detector follows. layout: of the bundle; decides about face points. by: which library runs
    the networks; `auto` takes MediaPipe where one is installed that reports to nobody, else LiteRT. `MissingError`
    where neither is. person: who is followed of several in view, see `last_edge.skeleton.people`. bodies: how many
    people a pose detector gives. detect_every: LiteRT looks for further hands in one image of so many while it follows
    one; `UsageError` where nobody looks for further hands, or MediaPipe does.
    """
    library = library_here() if by == "auto" else by
    several_hands = detector == "holistic" or ("hand" in detector and hand != "first")
    if detect_every > 1 and (library == "mediapipe" or not several_hands):
        expected = "LiteRT, and a hand by its side or both beside a body"
        got = f"{library}, {detector}" + (f", hand {hand}" if "hand" in detector else "")
        hint = "--landmarks-by litert, --hand left or right; --landmarks-every rests for whole images"
        raise UsageError("nobody looks for further hands here", expected=expected, got=got, hint=hint)
    # A source that gives points needs neither, and starts sooner without them.
    if library == "mediapipe":
        from last_edge.runtime.landmarks.mediapipe import HandLandmarks as Hands
        from last_edge.runtime.landmarks.mediapipe import HolisticLandmarks as Holistic
        from last_edge.runtime.landmarks.mediapipe import PoseLandmarks as Body
    else:
        from last_edge.runtime.landmarks.litert import LiteRTHands as Hands  # type: ignore[assignment]
        from last_edge.runtime.landmarks.litert import LiteRTHolistic as Holistic  # type: ignore[assignment]
        from last_edge.runtime.landmarks.litert import LiteRTPose as Body  # type: ignore[assignment]
    rests = {} if detect_every == 1 else {"detect_every": detect_every}
    if detector in ("hand", "hand_lite"):
        return Hands(model=detector, hand=hand, person=person, **rests)
    if detector in ("pose", "pose_lite", "pose_heavy"):
        return Body(model=detector, person=person, bodies=bodies)
    whole = "mediapipe_holistic83" if layout in FACED else "mediapipe_holistic75"
    return Holistic(layout=whole, person=person, **rests)


def library_here() -> str:
    """The library that `auto` means on this machine; `MissingError` with what brings one."""
    from last_edge.runtime.landmarks.mediapipe import what_it_sends

    for name, module in MODULES.items():
        if find_spec(module) is not None and not (name == "mediapipe" and what_it_sends()):
            return name
    if said := what_it_sends():
        hint = "pip install 'last-edge[litert]'; or name it: --landmarks-by mediapipe"
        raise MissingError("nothing that finds landmarks and keeps it to itself is installed", got=said, hint=hint)
    hint = "pip install 'last-edge[runtime]', or 'last-edge[litert]' where MediaPipe has no wheel"
    raise MissingError("nothing that finds landmarks is installed", expected=" or ".join(MODULES), hint=hint)
