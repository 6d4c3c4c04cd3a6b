"""A file, replay or store played again and again, as if it had no end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from last_edge.errors import UsageError
from last_edge.runtime.sources.base import Frame, Source


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
