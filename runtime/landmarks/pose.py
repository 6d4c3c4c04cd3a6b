"""The body by MediaPipe's pose landmarker: 33 points."""

from __future__ import annotations

from typing import Any

from last_edge.runtime.landmarks.common import LandmarkSource, Points, to_points

JOINTS = 33


class PoseLandmarks(LandmarkSource):
    """The most prominent person's body."""

    def __init__(self) -> None:
        super().__init__(model="pose", layout="mediapipe_pose33")

    def _create(self, vision: Any, base_options: Any) -> Any:
        options = vision.PoseLandmarkerOptions(base_options=base_options, running_mode=vision.RunningMode.VIDEO)
        return vision.PoseLandmarker.create_from_options(options)

    def _points(self, result: Any, aspect: float) -> Points:
        return to_points(result.pose_landmarks[0] if result.pose_landmarks else [], JOINTS, aspect)
