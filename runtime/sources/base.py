"""What every source yields: frames with an image or with points, and the time they were taken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units


@dataclass(frozen=True)
class Frame:
    """One moment of a source.

    index: 0, 1, …; what cannot be read leaves a gap. timestamp_s: seconds since the source began, never falling.
    image: (H, W, 3) uint8 in OpenCV's blue, green, red order; None for a source of points.
    points: (M, V, C) float32 in the source's layout, NaN where missing; None for a source of images.
    clip: which recording the frame belongs to; a change of name starts a new one. label: its true class, if known.
    """

    index: int
    timestamp_s: float
    image: NDArray[np.uint8] | None = None
    points: NDArray[np.float32] | None = None
    clip: str = ""
    label: str | None = None


class Source(ABC):
    """An iterable of frames that is closed after use.

    name: what the user called it. fps: nominal frames a second, for players and writers; time comes from the frames.
    layout, units: of the points; None for a source of images. live: frames arrive in real time and never end.
    announced_frames: how many frames the file says it holds, None when it does not.
    lost: why a live source ended, "" while it has not.
    notice: called, on the thread that reads, with what a user should know, such as a lost camera.
    """

    name: str
    fps: float
    layout: Layout | None = None
    units: Units = "image01"
    live: bool = False
    announced_frames: int | None = None
    lost: str = ""
    notice: Callable[[str], None] = staticmethod(lambda text: None)

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames, once."""

    def describe(self) -> str:
        """What a device gives of what it was asked for; "" where there is nothing to say."""
        return ""

    def interrupt(self) -> None:
        """Called from another thread: wait for nothing any longer."""
        return

    def close(self) -> None:
        """Give the device or file back."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
