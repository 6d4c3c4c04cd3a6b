"""Points of hands, of a body, and of both with a face, by MediaPipe's landmarkers in VIDEO mode."""

import atexit
import platform
import re
import zipfile
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from last_edge.clips.pose_file import FACE_POINTS
from last_edge.errors import MissingError, UsageError
from last_edge.machine import installed
from last_edge.runtime.landmarks import task_bundle
from last_edge.runtime.landmarks.models import model_path
from last_edge.runtime.landmarks.source import (
    HAND,
    MOST_HANDS,
    MOST_PEOPLE,
    POSE,
    Image,
    LandmarkSource,
    Points,
    check_hand,
    quiet_native_logs,
    without,
)
from last_edge.skeleton.people import Seen

SYSTEM_LIBRARIES = "apt-get install libgl1 libegl1 libgles2 libglib2.0-0, on a slim system"
MESH = 468
FIRST_THAT_REPORTS = (0, 10, 35)
"""From this release on MediaPipe holds a client that reports its use to its maker, and no switch."""
LAYOUTS = ("mediapipe_holistic75", "mediapipe_holistic83")
_open = set[Any]()
"""Tasks that nobody has closed. One that is collected closes itself in the middle of whatever runs, and where that is
another task's call both wait for ever; so they stay until the program ends."""


class MediaPipeSource(LandmarkSource):
    """A MediaPipe task in VIDEO mode, which stays with whom it has found.

    Where it tracks one person or hand and has none, `_everyone` looks at all in view; the others are blacked out in
    the one image in which the task is to find the chosen one. A task that tracks several gives them all instead.
    """

    def __init__(self, *, model: str, layout: str, person: str = "largest", bodies: int = 1) -> None:
        super().__init__(model=model, layout=layout, person=person, bodies=bodies)
        self.warning = what_it_sends()
        self._task, self._finder = self._start()
        _open.update(task for task in (self._task, self._finder) if task is not None)
        self._clock_ms, self._following = -1, False

    def __call__(self, image: Image, timestamp_s: float) -> Points:
        if self._clock_ms >= 0:
            return self._detect(image, timestamp_s)
        with quiet_native_logs():
            return self._detect(image, timestamp_s)

    def close(self) -> None:
        self._task.close()
        if self._finder is not None:
            self._finder.close()
        _open.difference_update((self._task, self._finder))

    def _start(self) -> tuple[Any, Any]:
        vision = _vision()
        try:
            with quiet_native_logs():
                return self._create(vision)
        except (OSError, RuntimeError, ValueError) as error:
            raise MissingError("MediaPipe cannot start", where=self.model, got=error, hint=SYSTEM_LIBRARIES) from error

    def _detect(self, image: Image, timestamp_s: float) -> Points:
        height, width = image.shape[:2]
        aspect = width / height
        self.follower.middle = aspect / 2
        if self._finder is None:
            return self._points(self._track(image, timestamp_s), aspect, timestamp_s)
        if self._following:
            points = self._points(self._track(image, timestamp_s), aspect, timestamp_s)
            if self.follower.pick([Seen.of(points[:POSE])], timestamp_s)[0] is not None:
                return points
        found = self._finder.detect(_as_rgb(image))
        everyone = self._everyone(found, aspect)
        (chosen,) = self.follower.pick([Seen.of(each) for each in everyone], timestamp_s)
        self._following = chosen is not None
        if chosen is None:
            self.side = ""
            return np.full((self.layout.joints, 3), np.nan, np.float32)
        others = [each for place, each in enumerate(everyone) if place != chosen]
        alone = without(image, others, everyone[chosen])
        points = self._points(self._track(alone, timestamp_s), aspect, timestamp_s)
        self._following = Seen.of(points[:POSE]) is not None
        return points if self._following else self._unfollowed(found, chosen, points, everyone[chosen])

    def _track(self, image: Image, timestamp_s: float) -> Any:
        self._clock_ms = max(self._clock_ms + 1, round(timestamp_s * 1000))
        return self._task.detect_for_video(_as_rgb(image), self._clock_ms)

    @abstractmethod
    def _create(self, vision: Any) -> tuple[Any, Any]:
        """The MediaPipe task in VIDEO mode, and the one in IMAGE mode that finds everyone; None for none."""

    @abstractmethod
    def _points(self, result: Any, aspect: float, timestamp_s: float) -> Points:
        """(V, 3) points of the task's result; `aspect` is width / height."""

    def _everyone(self, result: Any, aspect: float) -> list[Points]:
        """(V, 3) points of each that the finder's result shows: people."""
        return [to_points(each, POSE, aspect) for each in result.pose_landmarks]

    def _unfollowed(self, result: Any, chosen: int, nothing: Points, alone: Points) -> Points:
        """Points of the chosen one where only the finder has seen it."""
        return alone if len(alone) == len(nothing) else nothing


@atexit.register
def _close_what_is_open() -> None:
    while _open:
        _open.pop().close()


def what_it_sends() -> str:
    """What the installed MediaPipe tells its maker, "" where it tells nothing or is not installed."""
    version = installed("mediapipe") or ""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if numbers < FIRST_THAT_REPORTS:
        return ""
    return (
        f"MediaPipe {version} reports its use to Google and has no switch for it; --landmarks-by litert sends nothing"
    )


def to_points(landmarks: Sequence[Any], joints: int, aspect: float) -> Points:
    """(joints, 3) in image heights from MediaPipe landmarks; all NaN when the list is empty."""
    if len(landmarks) < joints:
        return np.full((joints, 3), np.nan, np.float32)
    rows = [(point.x * aspect, point.y, point.z * aspect) for point in landmarks[:joints]]
    return np.array(rows, np.float32)


def _vision() -> Any:
    try:
        from mediapipe.tasks.python import vision
    except (ImportError, OSError) as error:
        raise MissingError("MediaPipe cannot be loaded", got=error, hint=how_to_get_it()) from error
    return vision


def how_to_get_it() -> str:
    """What brings MediaPipe to this machine, or what does without it where there is none."""
    if platform.system() == "Linux" and platform.machine() != "x86_64":
        return "it has no wheel for Linux on ARM: --landmarks-by litert, pip install 'last-edge[litert]'"
    return f"pip install 'last-edge[runtime]'; {SYSTEM_LIBRARIES}"


def _base_options(model: str) -> Any:
    from mediapipe.tasks.python.core.base_options import BaseOptions

    return BaseOptions(model_asset_path=str(model_path(model)))


def _pose_finder(vision: Any, model: str) -> Any:
    """Finds everyone in an image, by the networks of a pose or holistic model file."""
    from mediapipe.tasks.python.core.base_options import BaseOptions

    with zipfile.ZipFile(model_path(model)) as archive:
        parts = {name: archive.read(name) for name in ("pose_detector.tflite", "pose_landmarks_detector.tflite")}
    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=task_bundle.pack(parts)),
        running_mode=vision.RunningMode.IMAGE,
        num_poses=MOST_PEOPLE,
    )
    return vision.PoseLandmarker.create_from_options(options)


def _as_rgb(image: Image) -> Any:
    import cv2
    import mediapipe

    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


class HandLandmarks(MediaPipeSource):
    """Follows one hand.

    `first` takes the hand that `person` means of those in view and stays with it until it is lost: one hand is tracked,
    which is the fastest. `left` and `right` are the person's own; up to four hands are tracked and one of that side is
    followed. Model `hand` is the full model, `hand_lite` the small one.
    """

    def __init__(self, *, model: str = "hand", hand: str = "first", person: str = "largest") -> None:
        self.hand = check_hand(hand)
        super().__init__(model=model, layout="mediapipe_hand21", person=person)

    def _create(self, vision: Any) -> tuple[Any, Any]:
        mode, options = vision.RunningMode, vision.HandLandmarkerOptions
        create = vision.HandLandmarker.create_from_options
        base = _base_options(self.model)
        if self.hand != "first":
            return create(options(base_options=base, running_mode=mode.VIDEO, num_hands=MOST_HANDS)), None
        tracker = create(options(base_options=base, running_mode=mode.VIDEO, num_hands=1))
        return tracker, create(options(base_options=base, running_mode=mode.IMAGE, num_hands=MOST_HANDS))

    def _points(self, result: Any, aspect: float, timestamp_s: float) -> Points:
        # MediaPipe names the person's own side when the image is not mirrored.
        sides = [str(classes[0].category_name).lower() for classes in result.handedness]
        fitting = [place for place, side in enumerate(sides) if self.hand in ("first", side)]
        hands = [to_points(result.hand_landmarks[place], HAND, aspect) for place in fitting]
        if self._finder is None:
            (chosen,) = self.follower.pick([Seen.of(hand) for hand in hands], timestamp_s)
        else:
            chosen = 0 if hands else None
        self.side = "" if chosen is None else sides[fitting[chosen]]
        return np.full((HAND, 3), np.nan, np.float32) if chosen is None else hands[chosen]

    def _everyone(self, result: Any, aspect: float) -> list[Points]:
        return [to_points(hand, HAND, aspect) for hand in result.hand_landmarks]

    def _unfollowed(self, result: Any, chosen: int, nothing: Points, alone: Points) -> Points:
        self.side = str(result.handedness[chosen][0].category_name).lower()
        return alone


class PoseLandmarks(MediaPipeSource):
    """One person's body, or those of several. Models `pose`, `pose_lite` and `pose_heavy`: faster or surer."""

    def __init__(self, *, model: str = "pose", person: str = "largest", bodies: int = 1) -> None:
        super().__init__(model=model, layout="mediapipe_pose33", person=person, bodies=bodies)

    def _create(self, vision: Any) -> tuple[Any, Any]:
        several = self.follower.bodies > 1
        options = vision.PoseLandmarkerOptions(
            base_options=_base_options(self.model),
            running_mode=vision.RunningMode.VIDEO,
            num_poses=MOST_PEOPLE if several else 1,
        )
        finder = None if several else _pose_finder(vision, self.model)
        return vision.PoseLandmarker.create_from_options(options), finder

    def _points(self, result: Any, aspect: float, timestamp_s: float) -> Points:
        people = self._everyone(result, aspect)
        if self._finder is not None:
            return people[0] if people else to_points([], POSE, aspect)
        return self.follower(np.stack(people) if people else np.zeros((0, POSE, 3), np.float32), timestamp_s)


class HolisticLandmarks(MediaPipeSource):
    """Points in the order pose 0–32, left hand 33–53, right hand 54–74, face 75–82."""

    def __init__(self, *, layout: str = "mediapipe_holistic75", person: str = "largest") -> None:
        if layout not in LAYOUTS:
            raise UsageError(f"holistic landmarks cannot give {layout!r}", expected=" or ".join(LAYOUTS))
        super().__init__(model="holistic", layout=layout, person=person)

    def _create(self, vision: Any) -> tuple[Any, Any]:
        options = vision.HolisticLandmarkerOptions(
            base_options=_base_options(self.model), running_mode=vision.RunningMode.VIDEO
        )
        return vision.HolisticLandmarker.create_from_options(options), _pose_finder(vision, self.model)

    def _points(self, result: Any, aspect: float, timestamp_s: float) -> Points:
        parts = [
            to_points(result.pose_landmarks, POSE, aspect),
            to_points(result.left_hand_landmarks, HAND, aspect),
            to_points(result.right_hand_landmarks, HAND, aspect),
            to_points(result.face_landmarks, MESH, aspect)[list(FACE_POINTS)],
        ]
        return np.concatenate(parts)[: self.layout.joints]
