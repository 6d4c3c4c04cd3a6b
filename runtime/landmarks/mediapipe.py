"""Points of hands, of a body, and of both with a face, by MediaPipe's landmarkers in VIDEO mode."""

from __future__ import annotations

import platform
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from last_edge.clips.pose_file import FACE_POINTS
from last_edge.errors import MissingError, UsageError
from last_edge.runtime.landmarks.models import model_path
from last_edge.runtime.landmarks.source import HAND, POSE, Image, LandmarkSource, Points, check_hand, quiet_native_logs

SYSTEM_LIBRARIES = "apt-get install libgl1 libegl1 libgles2 libglib2.0-0, on a slim system"
MESH = 468
LAYOUTS = ("mediapipe_holistic75", "mediapipe_holistic83")


class MediaPipeSource(LandmarkSource):
    """A MediaPipe task in VIDEO mode."""

    def __init__(self, *, model: str, layout: str) -> None:
        super().__init__(model=model, layout=layout)
        self._task = self._start()
        self._clock_ms = -1

    def __call__(self, image: Image, timestamp_s: float) -> Points:
        if self._clock_ms >= 0:
            return self._detect(image, timestamp_s)
        with quiet_native_logs():
            return self._detect(image, timestamp_s)

    def close(self) -> None:
        self._task.close()

    def _start(self) -> Any:
        vision, base_options = _vision(), _base_options(self.model)
        try:
            with quiet_native_logs():
                return self._create(vision, base_options)
        except (OSError, RuntimeError, ValueError) as error:
            raise MissingError("MediaPipe cannot start", where=self.model, got=error, hint=SYSTEM_LIBRARIES) from error

    def _detect(self, image: Image, timestamp_s: float) -> Points:
        self._clock_ms = max(self._clock_ms + 1, round(timestamp_s * 1000))
        result = self._task.detect_for_video(_as_rgb(image), self._clock_ms)
        height, width = image.shape[:2]
        return self._points(result, width / height)

    @abstractmethod
    def _create(self, vision: Any, base_options: Any) -> Any:
        """The MediaPipe task."""

    @abstractmethod
    def _points(self, result: Any, aspect: float) -> Points:
        """(V, 3) points of the task's result; `aspect` is width / height."""


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


def _as_rgb(image: Image) -> Any:
    import cv2
    import mediapipe

    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


class HandLandmarks(MediaPipeSource):
    """Follows one hand.

    `first` takes the hand that is found first and stays with it until it is lost: one hand is tracked, which is the
    fastest. `left` and `right` are the person's own; both hands are tracked and the surer one of that side is taken.
    Model `hand` is the full model, `hand_lite` the small one.
    """

    def __init__(self, *, model: str = "hand", hand: str = "first") -> None:
        self.hand = check_hand(hand)
        super().__init__(model=model, layout="mediapipe_hand21")

    def _create(self, vision: Any, base_options: Any) -> Any:
        options = vision.HandLandmarkerOptions(
            base_options=base_options,
            running_mode=vision.RunningMode.VIDEO,
            num_hands=1 if self.hand == "first" else 2,
        )
        return vision.HandLandmarker.create_from_options(options)

    def _points(self, result: Any, aspect: float) -> Points:
        sides = [classes[0] for classes in result.handedness]
        # MediaPipe names the person's own side when the image is not mirrored.
        fitting = [index for index, side in enumerate(sides) if self.hand in ("first", side.category_name.lower())]
        self.side = ""
        if not fitting:
            return np.full((HAND, 3), np.nan, np.float32)
        surest = max(fitting, key=lambda index: float(sides[index].score))
        self.side = str(sides[surest].category_name).lower()
        return to_points(result.hand_landmarks[surest], HAND, aspect)


class PoseLandmarks(MediaPipeSource):
    """The most prominent person's body."""

    def __init__(self) -> None:
        super().__init__(model="pose", layout="mediapipe_pose33")

    def _create(self, vision: Any, base_options: Any) -> Any:
        options = vision.PoseLandmarkerOptions(base_options=base_options, running_mode=vision.RunningMode.VIDEO)
        return vision.PoseLandmarker.create_from_options(options)

    def _points(self, result: Any, aspect: float) -> Points:
        return to_points(result.pose_landmarks[0] if result.pose_landmarks else [], POSE, aspect)


class HolisticLandmarks(MediaPipeSource):
    """Points in the order pose 0–32, left hand 33–53, right hand 54–74, face 75–82."""

    def __init__(self, *, layout: str = "mediapipe_holistic75") -> None:
        if layout not in LAYOUTS:
            raise UsageError(f"holistic landmarks cannot give {layout!r}", expected=" or ".join(LAYOUTS))
        super().__init__(model="holistic", layout=layout)

    def _create(self, vision: Any, base_options: Any) -> Any:
        options = vision.HolisticLandmarkerOptions(base_options=base_options, running_mode=vision.RunningMode.VIDEO)
        return vision.HolisticLandmarker.create_from_options(options)

    def _points(self, result: Any, aspect: float) -> Points:
        parts = [
            to_points(result.pose_landmarks, POSE, aspect),
            to_points(result.left_hand_landmarks, HAND, aspect),
            to_points(result.right_hand_landmarks, HAND, aspect),
            to_points(result.face_landmarks, MESH, aspect)[list(FACE_POINTS)],
        ]
        return np.concatenate(parts)[: self.layout.joints]
