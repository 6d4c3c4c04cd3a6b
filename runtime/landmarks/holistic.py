"""Body, both hands and, on request, eight face points by MediaPipe's holistic landmarker: 75 or 83 points."""

from __future__ import annotations

from typing import Any

import numpy as np

from last_edge.clips.pose_file import FACE_POINTS
from last_edge.errors import UsageError
from last_edge.runtime.landmarks.common import LandmarkSource, Points, to_points

POSE, HAND, MESH = 33, 21, 468
LAYOUTS = ("mediapipe_holistic75", "mediapipe_holistic83")


class HolisticLandmarks(LandmarkSource):
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
