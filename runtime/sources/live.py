"""What cameras and network streams share: time is the frame's arrival, and a lost one is tried again, ever later."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from last_edge.runtime.sources.base import Frame, Source
from last_edge.runtime.sources.video import plausible_fps

BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)


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
