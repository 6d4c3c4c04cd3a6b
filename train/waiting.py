"""How long a training loop waits for its next batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Batch = TypeVar("Batch")
Clock = Callable[[], float]


class LoopClock:
    """Seconds since `read` of a loop over batches: waited for the next batch, and worked with it.

    On a GPU the loop runs ahead of the device, but meets it once a window (see `Trainer`); an epoch's sums are right.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self.clock = clock
        self.waited = self.worked = 0.0
        self.batches = 0

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches, timed."""
        source, before = iter(batches), self.clock()
        for batch in source:
            came = self.clock()
            self.waited += came - before
            yield batch
            before = self.clock()
            self.worked += before - came
            self.batches += 1
        self.waited += self.clock() - before

    def read(self, batch_size: int) -> dict[str, float]:
        """Clips a second and the percentage of time spent waiting, since the last reading."""
        clips, seconds = self.batches * batch_size, self.waited + self.worked
        row = {
            "seconds": round(seconds, 3),
            "clips_per_s": round(clips / seconds, 2) if seconds else 0.0,
            "waiting": round(100.0 * self.waited / seconds, 2) if seconds else 0.0,
        }
        self.waited = self.worked = 0.0
        self.batches = 0
        return row
