"""How long each stage of a run takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_KEPT = 100_000


@dataclass(frozen=True)
class StageTiming:
    """Milliseconds a frame: median, 95th and 99th percentile, mean, and how many frames were measured.

    busy: mean time of the processor on the stage's own thread, which a machine that does other things does not stretch.
    """

    p50: float
    p95: float
    p99: float
    mean: float
    busy: float
    n: int


class Ring:
    """The last 100,000 numbers, in memory that is all taken at once, so that a long run never grows by them."""

    def __init__(self) -> None:
        self._values = np.full(MOST_KEPT, np.nan, np.float32)
        self._added = 0

    def add(self, value: float) -> None:
        """Put a number in the place of the oldest."""
        self._values[self._added % MOST_KEPT] = value
        self._added += 1

    def values(self) -> NDArray[np.float32]:
        """Those that are held, in no order."""
        return self._values[: self._added]


class Timings:
    """Milliseconds of each stage of the last 100,000 frames; each stage may run on a thread of its own."""

    def __init__(self, stages: tuple[str, ...]) -> None:
        self._all = {stage: Ring() for stage in stages}
        self._busy = {stage: Ring() for stage in stages}

    @contextmanager
    def measure(self, stage: str, *, into: dict[str, float]) -> Iterator[None]:
        """Record the time of the block, also in a frame's own `into`."""
        watch = Stopwatch()
        yield
        self.add(stage, watch, into=into)

    def add(self, stage: str, watch: Stopwatch, *, into: dict[str, float]) -> None:
        """Record the time since a watch was made on this thread, also in a frame's own `into`."""
        milliseconds, busy = watch.read()
        self._all[stage].add(milliseconds)
        self._busy[stage].add(busy)
        into[stage] = milliseconds

    def summary(self) -> dict[str, StageTiming]:
        """Percentiles of every stage that was measured."""
        held = {stage: ring.values() for stage, ring in self._all.items()}
        return {stage: _figures(values, self._busy[stage].values()) for stage, values in held.items() if len(values)}


class Stopwatch:
    """Milliseconds since it was made: by the clock, and of the processor on the thread that made it."""

    def __init__(self) -> None:
        self._began, self._began_busy = time.perf_counter(), time.thread_time()

    def read(self) -> tuple[float, float]:
        """Both, on the thread that made it."""
        return (time.perf_counter() - self._began) * 1000, (time.thread_time() - self._began_busy) * 1000


def _figures(values: NDArray[np.float32], busy: NDArray[np.float32]) -> StageTiming:
    p50, p95, p99 = (round(float(value), 3) for value in np.percentile(values, [50, 95, 99]))
    return StageTiming(p50, p95, p99, round(float(values.mean()), 3), round(float(busy.mean()), 3), len(values))
