"""One hand by MediaPipe's hand landmarker: 21 points."""

from __future__ import annotations

from typing import Any

import numpy as np

from last_edge.errors import UsageError
from last_edge.runtime.landmarks.common import LandmarkSource, Points, to_points

HANDS = ("first", "left", "right")
JOINTS = 21


class HandLandmarks(LandmarkSource):
    """Follows one hand.

    `first` takes the hand that is found first and stays with it until it is lost: one hand is tracked, which is the
    fastest. `left` and `right` are the person's own; both hands are tracked and the surer one of that side is taken.
    Model `hand` is the full model, `hand_lite` the small one.
    """

    def __init__(self, *, model: str = "hand", hand: str = "first") -> None:
        if hand not in HANDS:
            raise UsageError(f"unknown hand {hand!r}", expected=" or ".join(HANDS))
        self.hand = hand
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
        if not fitting:
            return np.full((JOINTS, 3), np.nan, np.float32)
        surest = max(fitting, key=lambda index: float(sides[index].score))
        return to_points(result.hand_landmarks[surest], JOINTS, aspect)
