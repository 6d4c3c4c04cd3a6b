"""What code costs: time, of callables in turns, so that what the machine does hits all of them alike; and memory."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import UsageError

Call = Callable[[int], object]
"""Runs once; the number tells which of its inputs to take."""
Clock = Callable[[], float]
Times = NDArray[np.float64]
"""(rounds, calls) milliseconds."""


@dataclass(frozen=True)
class Schedule:
    """rounds: turns each callable gets; calls: timed calls a turn; warm_up: untimed calls before the first turn."""

    rounds: int = 10
    calls: int = 50
    warm_up: int = 20

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.calls < 1 or self.warm_up < 0:
            raise UsageError("a benchmark needs rounds and calls", got=self)


@dataclass(frozen=True)
class Latency:
    """Milliseconds a call. p50: median of the rounds' medians. p95, p99: of all calls."""

    p50: float
    p95: float
    p99: float
    calls: int


def turns(rounds: int, count: int) -> Iterator[tuple[int, int]]:
    """(round, which of `count`) of every turn; each round starts with another one."""
    for number in range(rounds):
        for offset in range(count):
            yield number, (number + offset) % count


def time_in_turns(calls: Sequence[Call], schedule: Schedule, *, clock: Clock = time.perf_counter) -> list[Times]:
    """Time each callable `schedule.rounds` times `schedule.calls`, after warming all up."""
    for call in calls:
        for index in range(schedule.warm_up):
            call(index)
    times = [np.zeros((schedule.rounds, schedule.calls)) for _ in calls]
    for number, which in turns(schedule.rounds, len(calls)):
        for index in range(schedule.calls):
            began = clock()
            calls[which](index)
            times[which][number, index] = (clock() - began) * 1000.0
    return times


def clock_for(threads: int) -> Clock:
    """Seconds of the thread's own processor time where it works alone, so that other programs do not count; else of
    the wall."""
    return time.thread_time if threads == 1 else time.perf_counter


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keep this thread, and those that it starts, on as many of its cores as it has threads, where the system can."""
    if sys.platform != "linux":
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def summarise(milliseconds: Times) -> Latency:
    """(rounds, calls) milliseconds -> percentiles."""
    p95, p99 = np.percentile(milliseconds, [95, 99])
    median = np.median(np.median(milliseconds, axis=1))
    return Latency(round(float(median), 4), round(float(p95), 4), round(float(p99), 4), milliseconds.size)


def peak_process_mb() -> float | None:
    """MB this process has held at most, None on systems that do not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024.0, 1)
