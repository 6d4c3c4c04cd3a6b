"""How long graphs take, in turns within one process, so that what the machine does hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import OUTPUT_NAME
from last_edge.export.onnx.session import open_session
from last_edge.inputs.features import Inputs, pick

ROUNDS, CALLS, WARM_UP = 9, 20, 10


def milliseconds(
    graphs: dict[str, bytes], inputs: Inputs, *, threads: int = 1, rounds: int = ROUNDS, calls: int = CALLS
) -> dict[str, float]:
    """Median of the rounds' median times of one clip (1, T, V, C), by graph; each round visits every one.

    On one thread it is that thread's processor time, so that other programs do not count.
    """
    clock = clock_for(threads)
    sessions = {name: open_session(graph, threads=threads) for name, graph in graphs.items()}
    feed = pick(inputs, slice(1))
    times: dict[str, list[float]] = {name: [] for name in graphs}
    for session in sessions.values():
        for _ in range(WARM_UP):
            session.run([OUTPUT_NAME], feed)
    for _ in range(rounds):
        for name, session in sessions.items():
            times[name].append(float(np.median([_once(session, feed, clock) for _ in range(calls)])))
    return {name: round(float(np.median(spent)), 4) for name, spent in times.items()}


def clock_for(threads: int) -> Callable[[], float]:
    """Seconds: the thread's own where it works alone, else those of the wall."""
    return time.thread_time if threads == 1 else time.perf_counter


def _once(session: object, feed: dict[str, NDArray[np.float32]], clock: Callable[[], float]) -> float:
    began = clock()
    session.run([OUTPUT_NAME], feed)  # type: ignore[attr-defined]
    return (clock() - began) * 1000.0
