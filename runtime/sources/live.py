"""Cameras, pipelines and network streams: time is the frame's arrival, and a lost one is tried again, ever later."""

from __future__ import annotations

import os
import re
import struct
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from last_edge.errors import MissingError, UsageError
from last_edge.runtime.sources.base import Frame, ImageOptions, Source
from last_edge.runtime.sources.video import open_capture, pixel_shape, plausible_fps, square_pixels

BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
CAMERA_FORM = re.compile(r"(\d+)(?:,(?:(\d+)x(\d+)|(qvga|vga|hd))(?:,(\d+(?:\.\d+)?))?)?")
SIZES = {"qvga": (320, 240), "vga": (640, 480), "hd": (1280, 720)}
MOST_RAW = 640 * 480
"""Pixels of an image that USB takes uncompressed thirty times a second, which spares a board the decoding."""
DEVICE = re.compile(r"/dev/video(\d+)")
SCHEMES = ("rtsp", "rtsps", "http", "https")
JETSON = Path("/etc/nv_tegra_release")
SINK = "video/x-raw,format=BGR ! appsink drop=true max-buffers=1"
# _IOWR('V', 2, struct v4l2_fmtdesc) and _IOWR('V', 74, struct v4l2_frmsizeenum) of linux/videodev2.h.
ENUM_FMT, ENUM_FRAMESIZES = 0xC0405602, 0xC02C564A
FORMAT = struct.Struct("<III32sII12x")
SIZE = struct.Struct("<III6I8x")
CAPTURE, DISCRETE = 1, 1
MOST = 64
Ioctl = Callable[[int, int, bytearray], object]


class LiveSource(Source):
    """Frames until the device is gone for good; `lost` then says so.

    `notice` tells when it is lost, when the next try is, and when it is back. A subclass opens it.
    """

    live = True

    def __init__(self, name: str, capture: Any, images: ImageOptions) -> None:
        self.name, self._capture, self.images = name, capture, images
        self.fps = plausible_fps(capture)
        self._pixels = pixel_shape(capture)
        self._halt, self._reading = threading.Event(), threading.Lock()

    @abstractmethod
    def _open(self) -> Any | None:
        """An open `cv2.VideoCapture`; None when there is none."""

    def __iter__(self) -> Iterator[Frame]:
        began, index = time.monotonic(), 0
        while not self._halt.is_set():
            image = self._read()
            if image is not None:
                yield Frame(index, time.monotonic() - began, image=self.images(image))
                index += 1
            elif not self._reconnect():
                return

    def interrupt(self) -> None:
        self._halt.set()

    def close(self) -> None:
        """Give the device back, unless a thread still hangs in its driver."""
        if self._reading.acquire(timeout=1.0):
            self._capture.release()
            self._reading.release()

    def _read(self) -> Any | None:
        with self._reading:
            decoded, image = self._capture.read()
        return square_pixels(image, self._pixels) if decoded else None

    def _reconnect(self) -> bool:
        """Wait and open anew, each time longer; False when stopped or after the last try."""
        for delay in BACK_OFF_S:
            self.notice(f"{self.name} is lost; next try in {delay:g} s")
            if self._halt.wait(delay):
                return False
            with self._reading:
                self._capture.release()
                if (opened := self._open()) is not None:
                    self._capture = opened
                    self.notice(f"{self.name} is back")
                    return True
        self.lost = f"{self.name} is gone: {len(BACK_OFF_S)} tries in {sum(BACK_OFF_S):g} s"
        self.notice(self.lost)
        return False


class CameraSource(LiveSource):
    """Frames of `N`, `N,1280x720` or `N,1280x720,30`; `UsageError` for another form, `MissingError` when absent.

    With a size above 640x480 MJPG is asked for: raw images of it do not fit through most USB ports thirty times a
    second. `qvga`, `vga` and `hd` stand for 320x240, 640x480 and 1280x720.
    """

    def __init__(self, text: str, images: ImageOptions | None = None) -> None:
        images = images or ImageOptions()
        number, *self._asked = asked_of("cam", text, images)
        self._number = number
        capture = self._open()
        if capture is None:
            raise MissingError(f"camera {number} is absent or in use", where=f"cam:{number}",
                               hint="last-edge doctor lists the cameras; --source FILE.mp4")  # fmt: skip
        super().__init__(f"cam:{number}", capture, images)

    def _open(self) -> Any | None:
        capture = open_capture(self._number)
        if capture is not None and any(self._asked):
            self._ask(capture)
        return capture

    def _ask(self, capture: Any) -> None:
        import cv2

        width, height, fps = self._asked
        if width * height > MOST_RAW:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        names = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
        for name, value in zip(names, (width, height, fps), strict=True):
            if value:
                capture.set(name, value)

    def describe(self) -> str:
        import cv2

        names = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS, cv2.CAP_PROP_FOURCC)
        width, height, fps, code = (float(self._capture.get(name)) for name in names)
        coding = int(code).to_bytes(4, "little").decode("ascii", "replace") if code > 0 else "unknown coding"
        return f"{self.name} gives {width:g}x{height:g} at {fps:g} frames a second, {coding}"


class NetworkSource(LiveSource):
    """Frames of an address; `MissingError` when nothing answers there. The name shows no password."""

    def __init__(self, address: str, images: ImageOptions | None = None) -> None:
        images = images or ImageOptions()
        if images.fps:
            raise UsageError("an address sends frames at its own rate", where=without_password(address),
                             got=f"fps {images.fps:g}", hint="without --fps")  # fmt: skip
        self._address = address
        capture, name = self._open(), without_password(address)
        if capture is None:
            raise MissingError("no video stream answers here", where=name, expected="rtsp://… or an MJPEG http://…",
                               hint="open the address in a player on this machine")  # fmt: skip
        super().__init__(name, capture, images)

    def _open(self) -> Any | None:
        return open_capture(self._address)


class PipelineSource(LiveSource):
    """Frames of a GStreamer pipeline, which ends in `appsink`; `MissingError` where it does not run.

    `csi:N`, with size and rate as `cam:N` takes them, is the ribbon-cable camera of a Jetson or a Raspberry Pi.
    """

    def __init__(self, name: str, pipeline: str, images: ImageOptions) -> None:
        self._pipeline = pipeline
        import cv2

        if not has_gstreamer():
            hint = "apt-get install python3-opencv, or a build with GStreamer; a USB camera is cam:0"
            raise MissingError("this OpenCV was built without GStreamer", where=name, got=f"OpenCV {cv2.__version__}",
                               hint=hint)  # fmt: skip
        capture = self._open()
        if capture is None:
            raise MissingError("this GStreamer pipeline gives no frames", where=name, got=pipeline,
                               hint="try it with gst-launch-1.0, fakesink in the place of appsink; cam:0")  # fmt: skip
        super().__init__(name, capture, images)

    @classmethod
    def of_csi(cls, text: str, images: ImageOptions) -> PipelineSource:
        """The camera at a board's own port by OpenCV's GStreamer; `UsageError` as `csi_asked`."""
        number, width, height, fps = csi_asked(text, images)
        size = f"width={width},height={height},framerate={fps:g}/1"
        return cls(f"csi:{number}", csi_pipeline(number, size, jetson=JETSON.exists()), images)

    def _open(self) -> Any | None:
        import cv2

        return open_capture(self._pipeline, by=cv2.CAP_GSTREAMER)


def asked_of(kind: str, text: str, images: ImageOptions) -> tuple[int, float, float, float]:
    """Number, width, height and frames a second that `N,WxH,FPS` asks for, 0 where it says nothing."""
    form = CAMERA_FORM.fullmatch(text)
    if form is None:
        expected = f"{kind}:0, {kind}:1, …, {kind}:0,1280x720, {kind}:0,1280x720,30 or {kind}:0,vga (qvga, vga, hd)"
        hint = "--rotate 90|180|270, --flip and --fps stand beside --source"
        raise UsageError("a camera is named by its number", got=f"{kind}:{text}", expected=expected, hint=hint)
    number, width, height, preset, fps = form.groups()
    if preset is not None:
        width, height = SIZES[preset]
    return int(number), float(width or 0), float(height or 0), float(images.fps or fps or 0)


def csi_asked(text: str, images: ImageOptions) -> tuple[int, int, int, float]:
    """Number, width, height and frames a second of a board's camera, 1280x720 at 30 where nothing is said."""
    number, width, height, fps = asked_of("csi", text, images)
    return number, int(width or 1280), int(height or 720), fps or 30.0


def csi_pipeline(number: int, size: str, *, jetson: bool) -> str:
    """Frames of a board's camera as OpenCV takes them, the newest only."""
    if jetson:
        camera = f"nvarguscamerasrc sensor-id={number} ! video/x-raw(memory:NVMM),{size} ! nvvidconv"
        return f"{camera} ! video/x-raw,format=BGRx ! videoconvert ! {SINK}"
    # libcamera's element takes a camera's name, not its number: the first one is found without.
    return f"libcamerasrc ! video/x-raw,{size} ! videoconvert ! {SINK}"


def has_gstreamer() -> bool:
    """Whether this OpenCV was built with GStreamer."""
    import cv2

    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None


def camera_text(text: str) -> str | None:
    """What follows `cam:` where a text names a camera, as `cam:0`, `0` or `/dev/video0`; None where it names none.

    A file or folder whose name is a number wins over the camera of that number.
    """
    if text.startswith("cam:"):
        return text.removeprefix("cam:")
    name, comma, rest = text.partition(",")
    if name.isdecimal() and not Path(text).exists():
        return text
    # A link such as /dev/v4l/by-id/… leads to the device.
    device = DEVICE.fullmatch(str(Path(name).resolve())) if name.startswith("/dev/") else None
    return f"{device.group(1)}{comma}{rest}" if device else None


def without_password(address: str) -> str:
    """An address that may be shown."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def formats(device: Path, *, ioctl: Ioctl | None = None) -> dict[str, tuple[tuple[int, int], ...]]:
    """Sizes, width by height, largest first, by the four letters of a pixel format; empty where nothing is told.

    Of a format with any size between two, the smallest and the largest.
    """
    if ioctl is None:
        from fcntl import ioctl as system_ioctl

        ioctl = system_ioctl
    try:
        handle = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return {}
    try:
        found = {}
        for index in range(MOST):
            asked = bytearray(FORMAT.pack(index, CAPTURE, 0, b"", 0, 0))
            if not _answers(ioctl, handle, ENUM_FMT, asked):
                break
            code = FORMAT.unpack(asked)[4]
            found[code.to_bytes(4, "little").decode("ascii", "replace").strip()] = _sizes(ioctl, handle, code)
        return found
    finally:
        os.close(handle)


def describe(found: dict[str, tuple[tuple[int, int], ...]], *, most: int = 5) -> str:
    """Formats and their sizes in one line, `most` sizes of each."""
    parts = []
    for name, sizes in found.items():
        shown = [f"{width}x{height}" for width, height in sizes[:most]] + (["…"] if len(sizes) > most else [])
        parts.append(" ".join([name, *shown]))
    return "; ".join(parts)


def _sizes(ioctl: Ioctl, handle: int, code: int) -> tuple[tuple[int, int], ...]:
    found = set[tuple[int, int]]()
    for index in range(MOST):
        asked = bytearray(SIZE.pack(index, code, *[0] * 7))
        if not _answers(ioctl, handle, ENUM_FRAMESIZES, asked):
            break
        _, _, kind, *numbers = SIZE.unpack(asked)
        if kind == DISCRETE:
            found.add((numbers[0], numbers[1]))
        else:
            found |= {(numbers[0], numbers[3]), (numbers[1], numbers[4])}
            break
    return tuple(sorted(found, reverse=True))


def _answers(ioctl: Ioctl, handle: int, request: int, asked: bytearray) -> bool:
    """Whether the driver fills in what is asked; False past its last answer and for a device that is no camera."""
    try:
        ioctl(handle, request, asked)
    except OSError:
        return False
    return True
