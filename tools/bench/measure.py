"""Timing several callables in one process, in turns, so that what the machine does hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import UsageError

Model = TypeVar("Model")
Call = Callable[[int], object]
"""Runs once; the number tells which of its inputs to take."""
LOADS = 5
"""Timed loads of a graph; the first, which also loads the libraries, comes before them."""
Clock = Callable[[], float]


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


def time_in_turns(calls: Sequence[Call], schedule: Schedule, *, clock: Clock = time.perf_counter) -> list[Latency]:
    """Time each callable `schedule.rounds` times `schedule.calls`; every round starts with another one."""
    for call in calls:
        for index in range(schedule.warm_up):
            call(index)
    times = np.zeros((len(calls), schedule.rounds, schedule.calls))
    for turn in range(schedule.rounds):
        for offset in range(len(calls)):
            which = (turn + offset) % len(calls)
            times[which, turn] = _time(calls[which], schedule.calls, clock)
    return [summarise(part) for part in times]


def time_loading(load: Callable[[], Model], *, clock: Clock = time.perf_counter) -> tuple[Model, float]:
    """A loaded model and the milliseconds one load takes: the median of `LOADS`, after one that is thrown away."""
    model, spent = load(), []
    for _ in range(LOADS):
        began = clock()
        model = load()
        spent.append((clock() - began) * 1000.0)
    return model, round(float(np.median(spent)), 2)


def summarise(milliseconds: NDArray[np.float64]) -> Latency:
    """(rounds, calls) milliseconds -> percentiles."""
    p95, p99 = np.percentile(milliseconds, [95, 99])
    median = np.median(np.median(milliseconds, axis=1))
    return Latency(round(float(median), 4), round(float(p95), 4), round(float(p99), 4), milliseconds.size)


def _time(call: Call, count: int, clock: Clock) -> list[float]:
    spent = []
    for index in range(count):
        began = clock()
        call(index)
        spent.append((clock() - began) * 1000.0)
    return spent
