"""Hands by LiteRT: a palm detector finds them, landmarks follow them from frame to frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from last_edge.runtime.landmarks.litert.network import Array, Detector, Image, Network, Region, around, cut, direction
from last_edge.runtime.landmarks.source import without

POINTS = 21
STRIDES = (8, 16, 16, 16)
WRIST, INDEX, MIDDLE, RING = 0, 5, 9, 13
PALM_WRIST, PALM_MIDDLE = 0, 2
STEADY = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""Points that say where the hand is next: all but the moving ends of the fingers."""
DEPTH = 0.4
SAME_PALM, SAME_POINTS, SAME_BOX = 0.2, 10, 0.2
LEAST_PRESENCE, SAME_HAND = 0.5, 0.5
ONE_PALM, MOST_PALMS = 0.3, 4
PALM_UP = 90.0
"""In radians: MediaPipe's hand landmarker gives its ninety degrees to a calculator that takes radians, and so looks at
a new hand turned by 0.46 more than upright. Landmarks agree with its own only where this is repeated."""


@dataclass(frozen=True)
class Hand:
    """points: (21, 3) pixels, z in pixels too, from the wrist. world: (21, 3) metres about the hand's middle.

    right: probability of being the person's right hand in an image that is not mirrored.
    """

    points: Array
    world: Array
    right: float

    @property
    def next_region(self) -> Region:
        """Where to look for this hand in the next frame."""
        flat = self.points[:, :2]
        towards = ((flat[INDEX] + flat[RING]) / 2 + flat[MIDDLE]) / 2
        return around(flat[list(STEADY)], direction(flat[WRIST], towards)).scaled(2.0, shift_y=-0.1)


class HandTracker:
    """Follows up to `hands` hands through the frames of a video.

    A hand is looked for where it was; the palm detector, which takes longer, runs while fewer than `hands` are
    followed, and then in one frame of `detect_every`. choose: which of the hands in view go on, for one hand;
    None takes the surest.
    """

    def __init__(
        self, task: Path, *, hands: int = 1, threads: int = 1, detect_every: int = 1,
        choose: Callable[[Sequence[Hand]], Sequence[int]] | None = None,
    ) -> None:  # fmt: skip
        palms = Network(task, "hand_detector.tflite", threads=threads)
        self._detector = Detector(palms, strides=STRIDES, same=ONE_PALM)
        self._landmarks = Network(task, "hand_landmarks_detector.tflite", threads=threads)
        self.hands, self.detect_every = hands, detect_every
        self._choose = choose
        self._regions: list[Region] = []
        self._since_detection = 0

    def __call__(self, image: Image) -> list[Hand]:
        """Hands in an RGB image (H, W, 3), those that were followed first."""
        if self._choose is not None:
            kept = self._chosen(image, self._regions)[0] or self._found(image)
        else:
            regions = list(self._regions)
            self._since_detection += 1
            if len(regions) < self.hands and (self._since_detection >= self.detect_every or not regions):
                self._since_detection = 0
                regions = self._palms(image, self.hands, regions)
            kept = self._seen(image, regions)
        self._regions = [hand.next_region for hand in kept]
        return kept

    def _seen(self, image: Image, regions: Sequence[Region]) -> list[Hand]:
        """The hands in some regions, each once."""
        return _distinct([hand for hand in (self.look(image, region) for region in regions) if hand is not None])

    def _chosen(self, image: Image, regions: Sequence[Region]) -> tuple[list[Hand], list[Hand]]:
        """The hands in some regions that go on, and the others."""
        found = self._seen(image, regions)
        chosen = self._choose(found) if self._choose and found else []
        return [found[place] for place in chosen], [hand for place, hand in enumerate(found) if place not in chosen]

    def _found(self, image: Image) -> list[Hand]:
        """Those of all hands in view that go on; where there are others, found anew without them, as by MediaPipe."""
        kept, others = self._chosen(image, self._palms(image, MOST_PALMS, []))
        if len(kept) != 1 or not others:
            return kept
        one, *rest = (np.asarray(hand.points / len(image), np.float32) for hand in (*kept, *others))
        alone = without(image, rest, one)
        return self._seen(alone, self._palms(alone, 1, [])) or kept

    def _palms(self, image: Image, most: int, regions: Sequence[Region]) -> list[Region]:
        """Regions and those of palms that lie apart from them, at most so many."""
        found = list(regions)
        for palm in self._detector(image)[:most]:
            angle = direction(palm.points[PALM_WRIST], palm.points[PALM_MIDDLE], up=PALM_UP)
            region = palm.region(angle).scaled(2.6, shift_y=-0.5)
            if all(region.overlap(other) <= SAME_HAND for other in found):
                found.append(region)
        return found[:most]

    def look(self, image: Image, region: Region) -> Hand | None:
        """The hand in a region, None where there is none."""
        flat, presence, right, world = self._landmarks(cut(image, region, self._landmarks.size))
        if float(presence[0]) <= LEAST_PRESENCE:
            return None
        own = flat.reshape(POINTS, 3) / self._landmarks.size
        own[:, 2] /= DEPTH
        metres = world.reshape(POINTS, 3).copy()
        metres[:, :2] = metres[:, :2] @ region.axes.T
        return Hand(region.to_image(own), metres, float(right[0]))


def _distinct(hands: list[Hand]) -> list[Hand]:
    """Hands without those that lie on one before them."""
    kept: list[Hand] = []
    for hand in hands:
        if not any(_same(hand, other) for other in kept):
            kept.append(hand)
    return kept


def _same(one: Hand, other: Hand) -> bool:
    """Whether two are one hand: half of the points lie within a fifth of a palm, and the boxes overlap."""
    flat, others = one.points[:, :2], other.points[:, :2]
    palm = max(np.linalg.norm(points[MIDDLE] - points[WRIST]) for points in (flat, others))
    near = int((np.linalg.norm(flat - others, axis=1) < SAME_PALM * palm).sum())
    return near >= SAME_POINTS and around(flat, 0.0).overlap(around(others, 0.0)) > SAME_BOX
