"""Cameras and network streams: time is the frame's arrival, and a lost one is tried again, ever later."""

from __future__ import annotations

import re
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from last_edge.errors import MissingError, UsageError
from last_edge.runtime.sources.base import Frame, Source
from last_edge.runtime.sources.video import open_capture, plausible_fps

BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
CAMERA_FORM = re.compile(r"(\d+)(?:,(\d+)x(\d+)(?:,(\d+(?:\.\d+)?))?)?")
SCHEMES = ("rtsp", "rtsps", "http", "https")


class LiveSource(Source):
    """Frames until the device is gone for good; `lost` then says so.

    `notice` tells when it is lost, when the next try is, and when it is back. A subclass opens it.
    """

    live = True

    def __init__(self, name: str, capture: Any) -> None:
        self.name, self._capture = name, capture
        self.fps = plausible_fps(capture)
        self._halt, self._reading = threading.Event(), threading.Lock()

    @abstractmethod
    def _open(self) -> Any | None:
        """An open `cv2.VideoCapture`; None when there is none."""

    def __iter__(self) -> Iterator[Frame]:
        began, index = time.monotonic(), 0
        while not self._halt.is_set():
            image = self._read()
            if image is not None:
                yield Frame(index, time.monotonic() - began, image=image)
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
        return image if decoded else None

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

    With a size, MJPG is asked for: raw images of that size do not fit through most USB ports thirty times a second.
    """

    def __init__(self, text: str) -> None:
        form = CAMERA_FORM.fullmatch(text)
        if form is None:
            expected = "cam:0, cam:1, …, cam:0,1280x720 or cam:0,1280x720,30"
            raise UsageError("a camera is named by its number", got=f"cam:{text}", expected=expected)
        number, width, height, fps = form.groups()
        self._number = int(number)
        self._asked = [float(value or 0) for value in (width, height, fps)]
        capture = self._open()
        if capture is None:
            raise MissingError(f"camera {number} is absent or in use", where=f"cam:{number}",
                               hint="last-edge doctor lists the cameras; --source FILE.mp4")  # fmt: skip
        super().__init__(f"cam:{number}", capture)

    def _open(self) -> Any | None:
        capture = open_capture(self._number)
        if capture is not None and any(self._asked):
            self._ask(capture)
        return capture

    def _ask(self, capture: Any) -> None:
        import cv2

        width, height, fps = self._asked
        if width:
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

    def __init__(self, address: str) -> None:
        self._address = address
        capture, name = self._open(), without_password(address)
        if capture is None:
            raise MissingError("no video stream answers here", where=name, expected="rtsp://… or an MJPEG http://…",
                               hint="open the address in a player on this machine")  # fmt: skip
        super().__init__(name, capture)

    def _open(self) -> Any | None:
        return open_capture(self._address)


def without_password(address: str) -> str:
    """An address that may be shown."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
