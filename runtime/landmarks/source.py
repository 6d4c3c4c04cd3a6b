"""What finds points in images, whichever library does it."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import UsageError
from last_edge.skeleton import Layout, get_layout
from last_edge.skeleton.people import Follower

Image = NDArray[np.uint8]
Points = NDArray[np.float32]

HANDS = ("first", "left", "right")
POSE, HAND = 33, 21
MOST_PEOPLE, MOST_HANDS = 4, 4
"""How many are looked at before one is followed."""


class LandmarkSource(ABC):
    """Points of one person in a stream of images.

    Of several in view `person` says who is followed, by place from frame to frame (`last_edge.skeleton.people`); of
    hands that nobody says the body of, each counts as somebody.

    Points are (V, 3) in units of the image's height, origin top left, x right, y down, z away from the camera
    (`image01`); NaN where a point is not seen. MediaPipe's own x and z are in image widths, so both are multiplied
    by width / height.

    side: `left` or `right`, the person's own, of the hand that the last image showed; "" where that is not known.
    notice: called with what a user should know: that another person is followed. warning: what a user should know of
    the library that finds the points.
    """

    layout: Layout
    model: str
    side: str = ""
    notice: Callable[[str], None] = staticmethod(lambda text: None)
    warning: str = ""

    def __init__(self, *, model: str, layout: str, person: str = "largest", bodies: int = 1) -> None:
        self.model, self.layout = model, get_layout(layout)
        self.follower = Follower(person, bodies=bodies, notice=lambda text: self.notice(text))

    @abstractmethod
    def __call__(self, image: Image, timestamp_s: float) -> Points:
        """(V, 3) points of an (H, W, 3) BGR image, (M, V, 3) of M bodies; images must come in the order of time."""

    @abstractmethod
    def close(self) -> None:
        """Give the detector's threads and memory back."""


def check_hand(hand: str) -> str:
    """The hand to follow; `UsageError` when it is none of `HANDS`."""
    if hand not in HANDS:
        raise UsageError(f"unknown hand {hand!r}", expected=" or ".join(HANDS))
    return hand


def without(image: Image, others: Sequence[Points], chosen: Points) -> Image:
    """The image with the boxes about others' points (V, 3), in image heights, black; the chosen one's stays whole."""
    if not others:
        return image
    shown = image.copy()
    for each in others:
        shown[_box(each, image)] = 0
    shown[_box(chosen, image)] = image[_box(chosen, image)]
    return shown


def _box(points: Points, image: Image) -> tuple[slice, slice]:
    """Rows and columns of points with a tenth more on every side."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    margin = (high - low) / 10
    left, top = np.maximum((low - margin) * image.shape[0], 0).astype(int)
    right, bottom = np.maximum((high + margin) * image.shape[0], 0).astype(int)
    return slice(top, bottom + 1), slice(left, right + 1)


@contextmanager
def quiet_native_logs() -> Iterator[None]:
    """Keep the start-up chatter of MediaPipe and LiteRT, which no setting silences, off the terminal."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
