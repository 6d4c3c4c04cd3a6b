"""A bundle on a source that never ends, in real time, and what becomes of the process's memory meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from last_edge import records
from last_edge.errors import MissingError
from last_edge.runtime.pipeline.options import RunOptions
from last_edge.runtime.pipeline.run import run
from last_edge.runtime.recognise.results import Event
from last_edge.runtime.recogniser import Recogniser
from last_edge.runtime.sources import open_source

STATM = Path("/proc/self/statm")
EVERY_S = 2.0
SETTLE_SHARE, SETTLE_MOST_S = 1 / 3, 300.0
HANDLES, TASKS = Path("/proc/self/fd"), Path("/proc/self/task")
Sample = tuple[float, float]
Count = tuple[int, int]
OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class SoakRecord:
    """What a soak showed.

    run: summary of the run. minutes: it lasted. settled_after: minutes that count as warming up. mb_per_hour: slope of
    a straight line through the resident memory after them. mb_at: resident MB at the start, once settled and at the
    end. samples: taken after settling. load: mean number of busy processes over the last minute, at start and end.
    handles, threads: open files and threads once settled and at the end. actions: where events went.
    """

    minutes: float
    settled_after: float
    mb_per_hour: float
    mb_at: tuple[float, float, float]
    samples: int
    load: tuple[float, float]
    run: dict[str, Any]
    handles: Count = (0, 0)
    threads: Count = (0, 0)
    actions: tuple[str, ...] = ()
    schema_version: int = 1


class MemoryWatch:
    """Samples (seconds, MB) of this process's resident memory, taken by a thread of its own inside a `with`.

    counts: open files and threads at the same moments.
    """

    def __init__(self, *, every_s: float) -> None:
        self.samples: list[Sample] = []
        self.counts: list[Count] = []
        self._every_s, self._halt = every_s, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._halt.set()
        self._thread.join()

    def _watch(self) -> None:
        began = time.monotonic()
        while True:
            self.counts.append((len(list(HANDLES.iterdir())), len(list(TASKS.iterdir()))))
            self.samples.append((time.monotonic() - began, resident_mb()))
            if self._halt.wait(self._every_s):
                return


def soak(
    bundle: Path, source: str, *, minutes: float, options: RunOptions, on_event: OnEvent = lambda event: None,
    actions: tuple[str, ...] = (),
) -> SoakRecord:  # fmt: skip
    """Play a source that has an end again and again in real time, for some minutes. Raises as `run` does.

    on_event: gets every event; actions: the words for it in the record.
    """
    if not STATM.exists():
        raise MissingError("this system does not tell what a process holds", where=STATM, expected="Linux")
    model = Recogniser.open(bundle, precision=options.precision)
    with open_source(source, layout=model.spec.layout) as opened:
        frames = max(1, round(minutes * 60 * opened.fps))
    del model
    load = os.getloadavg()[0]
    with MemoryWatch(every_s=EVERY_S) as watch:
        played = replace(options, pace="real", loop=True, limit=frames)
        summary = run(bundle, source, options=played, on_event=on_event)
    settled = settle(watch.samples)
    calm, end = watch.counts[-len(settled)], watch.counts[-2 if len(watch.counts) > 1 else -1]
    return SoakRecord(
        minutes=round(summary.seconds / 60, 2),
        settled_after=round(settled[0][0] / 60, 2),
        mb_per_hour=round(slope(settled), 3),
        mb_at=(round(watch.samples[0][1], 2), round(settled[0][1], 2), round(watch.samples[-1][1], 2)),
        samples=len(settled),
        load=(round(load, 2), round(os.getloadavg()[0], 2)),
        run=records.to_dict(summary),
        handles=(calm[0], end[0]),
        threads=(calm[1], end[1]),
        actions=actions,
    )


def resident_mb() -> float:
    """MB of memory that this process holds now, without pages of files, which the kernel takes back when it likes: a
    looped store brings one page after the other of its mapped points."""
    resident, of_files = map(int, STATM.read_text().split()[1:3])
    return (resident - of_files) * os.sysconf("SC_PAGE_SIZE") / 2**20


def settle(samples: list[Sample]) -> list[Sample]:
    """Those after the first third, or after five minutes where that is sooner."""
    after = min(samples[-1][0] * SETTLE_SHARE, SETTLE_MOST_S)
    return [sample for sample in samples if sample[0] >= after]


def slope(samples: list[Sample]) -> float:
    """MB an hour of the least-squares line; 0 where there are less than two samples."""
    if len(samples) < 2:
        return 0.0
    seconds, megabytes = np.array(samples).T
    return float(3600 * np.polyfit(seconds, megabytes, 1)[0])
