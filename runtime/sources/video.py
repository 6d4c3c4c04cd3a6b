"""Video files and folders of images, decoded by OpenCV without its warnings; a frame's time is the file's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError, MissingError
from last_edge.names import natural_order
from last_edge.runtime.sources.base import FASTEST_FPS, Frame, ImageOptions, Source

NETWORK_TIMEOUT_MS = 5000
USUAL_FPS = 30.0
PROBED_FRAMES, MOST_BROKEN = 60, 30
ODDEST_PIXEL = 4.0
"""Times as wide as high, or as high as wide, that a pixel can be; more is a damaged header."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def open_capture(target: str | int, *, by: int | None = None) -> Any | None:
    """An open `cv2.VideoCapture` of a file, an address or a camera number; None when it does not open.

    by: one of OpenCV's `CAP_…` backends; None lets it choose.
    An address that does not answer within five seconds does not open, or ends.
    """
    try:
        import cv2
    except ImportError as error:
        hint = "pip install 'last-edge[runtime]'; a slim system also needs libgl1 and libglib2.0-0"
        raise MissingError("OpenCV cannot be loaded", got=error, hint=hint) from error
    silence(cv2)
    if isinstance(target, str) and "://" in target:
        waits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
        capture = cv2.VideoCapture(
            target, cv2.CAP_FFMPEG, [part for name in waits for part in (name, NETWORK_TIMEOUT_MS)]
        )
    else:
        capture = cv2.VideoCapture(target, cv2.CAP_ANY if by is None else by)
    return capture if capture.isOpened() else None


def silence(cv2: Any) -> None:
    """Keep OpenCV's warnings off the terminal; the setting stands in one place in release 4 and in another in 5."""
    logging = getattr(cv2.utils, "logging", None)
    if logging is None:
        cv2.setLogLevel(0)
    else:
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)


class VideoSource(Source):
    """Every frame that decodes; `InputError` when the file is absent, is no video, or has no frame.

    Some recordings claim 1,000 frames a second: their rate is then that of their timestamps. Pixels that are not square
    are stretched to be, as players do.
    """

    def __init__(self, path: Path, images: ImageOptions | None = None) -> None:
        self.images = images or ImageOptions()
        if not path.is_file():
            hint = "a camera is cam:0; last-edge run --help lists the kinds of source"
            raise InputError("no such video file", where=path, hint=hint)
        if path.stat().st_size == 0:
            raise InputError("the video file is empty", where=path, got="0 bytes")
        self.name, self._path = path.name, path
        self._capture = open_capture(str(path))
        if self._capture is None:
            raise InputError("not a video that can be read", where=path, expected="mp4, mov, avi, webm or mkv")
        self.fps, self.announced_frames = plausible_fps(self._capture), _frame_count(self._capture)
        self._pixels = pixel_shape(self._capture)
        if self.images.fps:
            self.fps = self.images.fps
        elif not claims_plausible_fps(self._capture):
            self.fps = measured_fps(open_capture(str(path)))
        self._first = self._read()
        if self._first is None:
            raise InputError("the video has no frame", where=path)

    def __iter__(self) -> Iterator[Frame]:
        decoded, index, clock = self._first, 0, 0.0
        while decoded is not None:
            image, claimed = decoded
            clock = index / self.fps if self.images.fps else forward(clock, claimed, index, self.fps)
            yield Frame(index, clock, image=self.images(image), clip=self.name)
            decoded, index = self._next(index + 1), index + 1

    def describe(self) -> str:
        if self._pixels == (1.0, 1.0):
            return ""
        return f"{self.name}: its pixels are not square; pictures are stretched to {self._first_size}"

    @property
    def _first_size(self) -> str:
        assert self._first is not None
        height, width = self._first[0].shape[:2]
        return f"{width}x{height}"

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()

    def _next(self, read: int) -> tuple[NDArray[np.uint8], float] | None:
        """The next frame that decodes; `read` were. Broken ones before the announced end are passed over."""
        broken = 0
        while (decoded := self._read()) is None and broken < min(MOST_BROKEN, (self.announced_frames or 0) - read):
            broken += 1
        if broken:
            ended = ", where it ends" if decoded is None else ""
            self.notice(f"{self.name}: {broken} frames after frame {read - 1} cannot be read{ended}")
        return decoded

    def _read(self) -> tuple[NDArray[np.uint8], float] | None:
        """The next image and the time in seconds that the file gives it; None at the end."""
        import cv2

        assert self._capture is not None
        decoded, image = self._capture.read()
        if decoded:
            image = square_pixels(image, self._pixels)
        return (image, self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000) if decoded else None


def pixel_shape(capture: Any) -> tuple[float, float]:
    """Factors of a picture's width and height that make its pixels square, one of them 1; (1, 1) where they are."""
    import cv2

    wide, high = (float(capture.get(name)) for name in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
    if min(wide, high) <= 0 or not 1 / ODDEST_PIXEL <= wide / high <= ODDEST_PIXEL:
        return 1.0, 1.0
    turned = int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180 == 90
    return (1.0, wide / high) if turned else (wide / high, 1.0)


def square_pixels(image: NDArray[np.uint8], factors: tuple[float, float]) -> NDArray[np.uint8]:
    """An image (H, W, 3) stretched by factors of width and height."""
    import cv2

    if factors == (1.0, 1.0):
        return image
    height, width = image.shape[:2]
    size = round(width * factors[0]), round(height * factors[1])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def forward(clock: float, claimed: float, index: int, fps: float) -> float:
    """The frame's time: what the file claims, or the nominal step where the claim stands still or runs back."""
    if index == 0:
        return max(claimed, 0.0) if claimed == claimed else 0.0
    return claimed if claimed > clock else clock + 1 / fps


def claims_plausible_fps(capture: Any) -> bool:
    """Whether the frame rate that a capture states can be one."""
    import cv2

    return 0 < float(capture.get(cv2.CAP_PROP_FPS)) <= FASTEST_FPS


def measured_fps(capture: Any | None) -> float:
    """Frames a second by the median step of the first timestamps; `USUAL_FPS` where they tell no plausible rate."""
    import cv2

    if capture is None:
        return USUAL_FPS
    moments = [capture.get(cv2.CAP_PROP_POS_MSEC) for _ in range(PROBED_FRAMES) if capture.grab()]
    capture.release()
    steps = np.diff(moments)
    step = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    return round(1000 / step, 3) if step * FASTEST_FPS >= 1000 else USUAL_FPS


def plausible_fps(capture: Any) -> float:
    """Frames a second, `USUAL_FPS` where the file says nothing or what no camera does."""
    import cv2

    return float(capture.get(cv2.CAP_PROP_FPS)) if claims_plausible_fps(capture) else USUAL_FPS


def _frame_count(capture: Any) -> int | None:
    """What the file's header says; None where it says nothing or counts by an impossible frame rate."""
    import cv2

    if capture.get(cv2.CAP_PROP_FPS) > FASTEST_FPS:
        return None
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return count if count > 0 else None


class ImageFolderSource(Source):
    """Every image that can be read, in the order of the numbers in their names; `notice` names those that cannot.

    30 a second unless `images` says another rate. `InputError` for a folder without images.
    """

    def __init__(self, folder: Path, images: ImageOptions | None = None) -> None:
        self.name, self.images = folder.name, images or ImageOptions()
        self.fps = self.images.fps or USUAL_FPS
        pictures = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        self._paths = sorted(pictures, key=lambda path: natural_order(path.name))
        self.announced_frames = len(self._paths)
        if not self._paths:
            hint = f"--source store:{folder}" if (folder / "store.json").is_file() else None
            raise InputError("no images in this folder", where=folder, expected=", ".join(SUFFIXES), hint=hint)

    def describe(self) -> str:
        return "" if self.images.fps else f"{self.name}: images at {self.fps:g} a second; --fps says another rate"

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        silence(cv2)
        for index, path in enumerate(self._paths):
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                self.notice(f"{path.name} is not an image that can be read; left out")
                continue
            yield Frame(index, index / self.fps, image=self.images(image), clip=self.name)
