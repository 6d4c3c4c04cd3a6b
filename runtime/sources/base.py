"""What every source yields: frames with an image or with points and their time; once, or again and again."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import UsageError
from last_edge.runtime.closing import Closeable
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units

FASTEST_FPS = 240.0
Turn = Literal[0, 90, 180, 270]


@dataclass(frozen=True)
class ImageOptions:
    """What is done to a source's images before anybody sees them; `UsageError` for another turn or no rate.

    flip: left and right exchanged, for a camera that gives a mirror image. rotate: degrees clockwise, before the flip.
    fps: frames a second of a folder of images (30 where nothing is said) or of a video, whose own timestamps then count
    for nothing; what a camera is asked for.
    """

    flip: bool = False
    rotate: Turn = 0
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.rotate not in get_args(Turn):
            raise UsageError("images turn by right angles", expected="rotate 0, 90, 180 or 270", got=self.rotate)
        if self.fps is not None and not 0 < self.fps <= FASTEST_FPS:
            expected = f"frames a second, above 0 and at most {FASTEST_FPS:g}"
            raise UsageError("not a frame rate", expected=expected, got=self.fps)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) turned and flipped; (W, H, 3) after a quarter turn."""
        turned = np.rot90(image, -self.rotate // 90)
        return np.ascontiguousarray(turned[:, ::-1] if self.flip else turned)


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


class Source(Closeable):
    """An iterable of frames that is closed after use.

    name: what the user called it. fps: nominal frames a second, for players and writers; time comes from the frames.
    layout, units: of the points; None for a source of images. live: frames arrive in real time and never end.
    announced_frames: how many frames the file says it holds, None when it does not.
    lost: why a live source ended, "" while it has not.
    notice: called, on the thread that reads, with what a user should know, such as a lost camera.
    images: how images are turned before they are given.
    tracked: people keep their places in `points` from frame to frame. middle: x of the middle of the picture that the
    points were seen in, None where it is not known.
    """

    name: str
    fps: float
    layout: Layout | None = None
    units: Units = "image01"
    live: bool = False
    announced_frames: int | None = None
    lost: str = ""
    images: ImageOptions = ImageOptions()
    tracked: bool = False
    middle: float | None = None
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


class LoopedSource(Source):
    """Opens its source anew for each pass; time and frame numbers run on, and each pass is a recording of its own.

    Raises `UsageError` for a live source, which has no end to begin again after, and what `open_again` raises.
    """

    def __init__(self, open_again: Callable[[], Source]) -> None:
        self._open_again = open_again
        self._playing = first = open_again()
        if first.live:
            first.close()
            raise UsageError("a live source cannot be played again", where=first.name, hint="without --loop")
        self.name, self.fps, self.layout, self.units = first.name, first.fps, first.layout, first.units
        self.tracked, self.middle = first.tracked, first.middle

    def __iter__(self) -> Iterator[Frame]:
        index, began, passed = 0, 0.0, 1
        while True:
            self._playing.notice = self.notice
            last: Frame | None = None
            for last in self._playing:
                clip = f"{last.clip}, pass {passed}" if last.clip else ""
                yield replace(last, index=index + last.index, timestamp_s=began + last.timestamp_s, clip=clip)
            if last is None:
                return
            index, began, passed = index + last.index + 1, began + last.timestamp_s + 1 / self.fps, passed + 1
            self._playing.close()
            self._playing = self._open_again()

    def interrupt(self) -> None:
        self._playing.interrupt()

    def close(self) -> None:
        self._playing.close()
