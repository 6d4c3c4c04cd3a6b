"""A camera by number, through OpenCV; time is the clock's when the frame arrived."""

from __future__ import annotations

import time
from collections.abc import Iterator

from last_edge.errors import MissingError, UsageError
from last_edge.runtime.sources.base import Frame, Source
from last_edge.runtime.sources.capture import open_capture
from last_edge.runtime.sources.video import plausible_fps


class CameraSource(Source):
    """Frames of `cam:N` until the camera stops; `MissingError` when it is absent."""

    live = True

    def __init__(self, number: str) -> None:
        if not number.isdecimal():
            raise UsageError("a camera is named by its number", got=f"cam:{number}", expected="cam:0, cam:1, …")
        self.name = f"cam:{number}"
        self._capture = open_capture(int(number))
        if self._capture is None:
            raise MissingError(f"camera {number} is absent or in use", where=self.name, hint="--source FILE.mp4")
        self.fps = plausible_fps(self._capture)

    def __iter__(self) -> Iterator[Frame]:
        assert self._capture is not None
        began, index = time.monotonic(), 0
        while True:
            decoded, image = self._capture.read()
            if not decoded:
                return
            yield Frame(index, time.monotonic() - began, image=image)
            index += 1

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
