"""A camera by number, through OpenCV; size and frame rate are asked for and what it gives is told."""

from __future__ import annotations

import re
from typing import Any

from last_edge.errors import MissingError, UsageError
from last_edge.runtime.sources.capture import open_capture
from last_edge.runtime.sources.live import LiveSource

FORM = re.compile(r"(\d+)(?:,(\d+)x(\d+)(?:,(\d+(?:\.\d+)?))?)?")


class CameraSource(LiveSource):
    """Frames of `N`, `N,1280x720` or `N,1280x720,30`; `UsageError` for another form, `MissingError` when absent.

    With a size, MJPG is asked for: raw images of that size do not fit through most USB ports thirty times a second.
    """

    def __init__(self, text: str) -> None:
        form = FORM.fullmatch(text)
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
