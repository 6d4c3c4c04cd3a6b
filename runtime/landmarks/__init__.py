"""From an image to skeleton points by MediaPipe Tasks: hands, pose, holistic. Model files come from `models`."""

from __future__ import annotations

from typing import Literal

from last_edge.errors import UsageError
from last_edge.runtime.landmarks.mediapipe import HandLandmarks, HolisticLandmarks, LandmarkSource, PoseLandmarks
from last_edge.skeleton import Layout, get_layout
from last_edge.skeleton.convert import conversions

Detector = Literal["hand", "hand_lite", "pose", "holistic"]
DETECTORS: tuple[Detector, ...] = ("hand", "hand_lite", "pose", "holistic")
GIVES: dict[str, Detector] = {
    "mediapipe_hand21": "hand",
    "mediapipe_pose33": "pose",
    "mediapipe_holistic75": "holistic",
    "mediapipe_holistic83": "holistic",
}
"""The points a detector gives; the first whose points are, or convert to, a bundle's layout feeds it."""


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


def create_landmarks(detector: Detector, *, hand: str = "first", layout: str = "") -> LandmarkSource:
    """A ready detector. hand: which hand a hand detector follows. layout: of the bundle; decides about face points."""
    if detector in ("hand", "hand_lite"):
        return HandLandmarks(model=detector, hand=hand)
    if detector == "pose":
        return PoseLandmarks()
    return HolisticLandmarks(layout=layout if layout == "mediapipe_holistic83" else "mediapipe_holistic75")
