"""MediaPipe's hand and pose networks run by LiteRT, with numpy and OpenCV alone: for boards without MediaPipe."""

import os
from collections.abc import Sequence

import numpy as np

from last_edge.errors import UsageError
from last_edge.runtime.landmarks.litert.hands import Hand, HandTracker
from last_edge.runtime.landmarks.litert.network import Array
from last_edge.runtime.landmarks.litert.pose import Pose, PoseTracker
from last_edge.runtime.landmarks.models import model_path
from last_edge.runtime.landmarks.source import HAND, MOST_HANDS, POSE, Image, LandmarkSource, Points, check_hand
from last_edge.skeleton.people import Seen

LEFT_WRIST, RIGHT_WRIST = 15, 16
REACH = 0.35
"""A hand belongs to a wrist of the body that is nearer than this, in image heights."""
MOST_THREADS = 4
__all__ = ["LiteRTHands", "LiteRTHolistic", "LiteRTPose"]


def threads_here() -> int:
    """Processor threads that a landmark network may take: half of them, four at most."""
    return max(1, min(MOST_THREADS, (os.cpu_count() or 2) // 2))


class LiteRTSource(LandmarkSource):
    """What decides, in image heights, whom a tracker of pixels follows."""

    _now = 0.0
    _height = 1

    def _begin(self, image: Image, timestamp_s: float) -> None:
        self._now, self._height = timestamp_s, image.shape[0]
        self.follower.middle = image.shape[1] / image.shape[0] / 2

    def _pick(self, everyone: Sequence[Array]) -> int | None:
        """Which of points (V, 3) in pixels is followed."""
        (chosen,) = self.follower.pick([Seen.of(each / self._height) for each in everyone], self._now)
        return chosen

    def close(self) -> None:
        """Nothing is held."""


class LiteRTHands(LiteRTSource):
    """Follows one hand, by the rules of `mediapipe.HandLandmarks`."""

    def __init__(
        self, *, model: str = "hand", hand: str = "first", detect_every: int = 1, person: str = "largest"
    ) -> None:
        self.hand = check_hand(hand)
        super().__init__(model=model, layout="mediapipe_hand21", person=person)
        first = hand == "first"
        self._tracker = HandTracker(
            model_path(model), hands=1 if first else MOST_HANDS, threads=threads_here(), detect_every=detect_every,
            choose=self._one if first else None,
        )  # fmt: skip

    def __call__(self, image: Image, timestamp_s: float) -> Points:
        self._begin(image, timestamp_s)
        found = self._tracker(as_rgb(image))
        fitting = [hand for hand in found if self.hand in ("first", _side(hand))]
        chosen = (0 if fitting else None) if self.hand == "first" else self._pick([hand.points for hand in fitting])
        self.side = "" if chosen is None else _side(fitting[chosen])
        return _none(HAND) if chosen is None else np.asarray(fitting[chosen].points / image.shape[0], np.float32)

    def _one(self, hands: Sequence[Hand]) -> list[int]:
        chosen = self._pick([hand.points for hand in hands])
        return [] if chosen is None else [chosen]


class LiteRTPose(LiteRTSource):
    """One person's body."""

    def __init__(self, *, model: str = "pose", person: str = "largest", bodies: int = 1) -> None:
        if bodies > 1:
            hint = "--landmarks-by mediapipe, or a source of points"
            raise UsageError("LiteRT follows one person", expected="a bundle of one body", got=bodies, hint=hint)
        super().__init__(model=model, layout="mediapipe_pose33", person=person)
        self._tracker = PoseTracker(model_path(model), threads=threads_here(), choose=self._pick)

    def __call__(self, image: Image, timestamp_s: float) -> Points:
        self._begin(image, timestamp_s)
        found = self._tracker(as_rgb(image), timestamp_s)
        return np.asarray(_body(found) / image.shape[0], np.float32)


class LiteRTHolistic(LiteRTSource):
    """Points in the order pose 0–32, left hand 33–53, right hand 54–74.

    Body and hands are followed apart; a hand is left or right by the wrist of the body that it is at, or by its own
    shape where no body is seen. MediaPipe's holistic task looks for hands at the wrists alone.
    """

    def __init__(self, *, layout: str = "mediapipe_holistic75", person: str = "largest", detect_every: int = 1) -> None:
        if layout != "mediapipe_holistic75":
            hint = "--landmarks-by mediapipe, or a bundle of mediapipe_holistic75"
            raise UsageError(f"LiteRT has no face points for {layout!r}", expected="mediapipe_holistic75", hint=hint)
        super().__init__(model="holistic", layout=layout, person=person)
        threads = threads_here()
        self._pose = PoseTracker(model_path("pose"), threads=threads, choose=self._pick)
        self._hands = HandTracker(model_path("hand"), hands=MOST_HANDS, threads=threads, detect_every=detect_every)

    def __call__(self, image: Image, timestamp_s: float) -> Points:
        self._begin(image, timestamp_s)
        seen = as_rgb(image)
        pose, hands = self._pose(seen, timestamp_s), self._hands(seen)
        sides = _sides(hands, pose, reach=REACH * image.shape[0])
        parts = [_body(pose), *(_none(HAND) if hand is None else hand.points for hand in sides)]
        return np.asarray(np.concatenate(parts) / image.shape[0], np.float32)


def as_rgb(image: Image) -> Image:
    """BGR as OpenCV reads it to RGB."""
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _side(hand: Hand) -> str:
    """The person's own side of a hand."""
    return "right" if hand.right > 0.5 else "left"


def _body(pose: Pose | None) -> Array:
    return _none(POSE) if pose is None else pose.points


def _none(points: int) -> Points:
    return np.full((points, 3), np.nan, np.float32)


def _sides(hands: Sequence[Hand], pose: Pose | None, *, reach: float) -> tuple[Hand | None, Hand | None]:
    """The left and the right hand, each at most once; `reach` in pixels."""
    costs = []
    for number, hand in enumerate(hands):
        for side, wrist in enumerate((LEFT_WRIST, RIGHT_WRIST)):
            if pose is None:
                cost = hand.right if side == 0 else 1 - hand.right
            else:
                cost = float(np.linalg.norm(hand.points[0, :2] - pose.points[wrist, :2])) / reach
            costs.append((cost, number, side))
    found: list[Hand | None] = [None, None]
    taken: set[int] = set()
    for cost, number, side in sorted(costs):
        if cost < 1 and number not in taken and found[side] is None:
            found[side] = hands[number]
            taken.add(number)
    return found[0], found[1]
