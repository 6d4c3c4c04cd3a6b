"""How `run` keeps up with sources in real time: every stage, what waited, what was dropped, our share of a frame.

And what a process holds over a long run, the soak; and how soon a fresh one answers.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from last_edge import records
from last_edge.errors import InputError, LastEdgeError, MissingError, UsageError
from last_edge.machine import processor
from last_edge.runtime.pipeline.pipeline import STAGES, StageTiming
from last_edge.runtime.pipeline.run import RunOptions, RunSummary, run
from last_edge.runtime.recognise.decoding import Event
from last_edge.runtime.recognise.model import Precision
from last_edge.runtime.recogniser import Recogniser
from last_edge.runtime.sources import open_source
from last_edge.tools.bench.record import page
from last_edge.train.environment import commit

PLAYED = (".mp4", ".mov", ".avi", ".webm", ".mkv", ".pose")
RATE = 30.0
OURS = ("recognise", "present")
IMPORT = (
    "import time; began = time.perf_counter(), time.process_time(); import last_edge.runtime.pipeline.run; "
    "print(time.perf_counter() - began[0], time.process_time() - began[1])"
)


@dataclass(frozen=True)
class LiveRecord:
    """One source played in real time on one machine.

    detector: "" for a source of points. dropped: frames ahead of each stage; waiting: most that ever waited there.
    ours: percent of a frame's time at 30 a second that the processor is busy with recognition and what follows, on
    average, beside capture and landmarks. load: mean number of busy processes over the last minute, before and after.
    command: that gave the row. refused: why the bundle cannot take this source; nothing was measured then.
    """

    bundle: str
    precision: str
    source: str
    detector: str
    seconds: float
    captured: int
    frames: int
    with_points: int
    events: int
    dropped: dict[str, int]
    waiting: dict[str, int]
    timings_ms: dict[str, StageTiming]
    ours: float
    load: tuple[float, float]
    device: str
    cores: int
    platform: str
    commit: str | None
    command: str
    refused: str = ""
    schema_version: int = 1


def live_sources(given: Sequence[str]) -> list[str]:
    """Each folder of recordings as its files, everything else as it is; `InputError` for a folder without any."""
    sources: list[str] = []
    for text in given:
        files = sorted(file for file in Path(text).glob("*") if file.suffix in PLAYED) if Path(text).is_dir() else []
        if Path(text).is_dir() and not files:
            raise InputError("no recordings in this folder", where=text, expected=", ".join(PLAYED))
        sources += map(str, files) if files else [text]
    return sources


def bench_live(
    bundle: Path, sources: Sequence[str], *, options: RunOptions, command: str = "",
    notify: Callable[[str], None] = lambda text: None,
) -> list[LiveRecord]:  # fmt: skip
    """Play each source once at its own rate; a row says why where one of several does not fit.

    Raises as `run` does when none fits.
    """
    rows: list[LiveRecord] = []
    same: dict[str, Any] = {
        "command": command, "device": processor(), "cores": os.cpu_count() or 1, "commit": commit(),
        "platform": f"{platform.system()} {platform.machine()}",
    }  # fmt: skip
    for source in sources:
        notify(source)
        before = os.getloadavg()[0]
        try:
            summary = run(bundle, source, options=replace(options, pace="real"))
        except (InputError, UsageError) as error:
            rows.append(_refused(bundle, source, error, same))
            if all(row.refused for row in rows) and len(rows) == len(sources):
                raise
        else:
            rows.append(_record(summary, (before, os.getloadavg()[0]), same))
    return rows


def _refused(bundle: Path, source: str, error: LastEdgeError, same: dict[str, Any]) -> LiveRecord:
    """A row without figures."""
    why = f"{error.what}: {error.got}, not {error.expected}" if error.got and error.expected else error.what
    return LiveRecord(
        bundle=bundle.name, precision="", source=Path(source).name, detector="", seconds=0.0, captured=0, frames=0,
        with_points=0, events=0, dropped={}, waiting={}, timings_ms={}, ours=0.0, load=(0.0, 0.0), refused=why,
        **same,
    )  # fmt: skip


def _record(summary: RunSummary, load: tuple[float, float], same: dict[str, Any]) -> LiveRecord:
    timings = summary.timings_ms
    return LiveRecord(
        bundle=summary.model, precision=summary.precision, source=Path(summary.source).name, detector=summary.detector,
        seconds=summary.seconds, captured=summary.captured, frames=summary.frames,
        with_points=summary.frames_with_points, events=summary.events, dropped=summary.dropped, waiting=summary.queues,
        timings_ms=timings,
        ours=round(100 * sum(timings[stage].busy for stage in OURS if stage in timings) * RATE / 1000, 2),
        load=(round(load[0], 2), round(load[1], 2)), **same,
    )  # fmt: skip


ABOUT = """\
Each source was played once at its own rate, as a camera would. A stage's figures are milliseconds a frame by the clock,
p50 / p95 / p99. *capture* is reading and decoding, *landmarks* is MediaPipe, or nothing for a source of points.
*waiting* is the most frames that ever waited ahead of landmarks, recognise and present: queues hold two and drop the
oldest, so they cannot grow. *dropped* of *frames* were too late for the stage they waited for. *ours* is the share of a
frame's time at 30 a second that the processor is busy with recognition and what follows, on average. *load* is the
number of busy processes before and after: above the number of cores stages wait for the processor, and the clock's
figures are those of a busy machine.
"""


def _stage(row: LiveRecord, stage: str) -> str:
    timing = row.timings_ms.get(stage)
    return "–" if timing is None else f"{timing.p50:.2f} / {timing.p95:.2f} / {timing.p99:.2f}"


COLUMNS: dict[str, Callable[[LiveRecord], str]] = {
    "source": lambda row: row.source,
    "precision": lambda row: row.precision or "–",
    "detector": lambda row: row.detector or "–",
    "frames": lambda row: row.refused or str(row.captured),
    "dropped": lambda row: str(sum(row.dropped.values())),
    "waiting": lambda row: ", ".join(map(str, row.waiting.values())),
    **{stage: lambda row, stage=stage: _stage(row, stage) for stage in STAGES},  # type: ignore[misc]
    "ours %": lambda row: "–" if row.refused else f"{row.ours:.2f}",
    "load": lambda row: "–" if row.refused else f"{row.load[0]:.1f} – {row.load[1]:.1f}",
}


def where(row: LiveRecord) -> str:
    """The machine, the code and the bundle of a row."""
    return f"`{row.bundle}`; {row.device}, {row.cores} cores, {row.platform}; commit {row.commit}"


def to_markdown(rows: Sequence[LiveRecord]) -> str:
    """A page with a table for each machine and bundle, under the commands that measured it."""
    return page("Live, in real time", ABOUT, rows, columns=COLUMNS, where=where)


STATM = Path("/proc/self/statm")
EVERY_S = 2.0
CLOSING = 2
"""Samples that a run may take to close."""
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
    end. mb_by_minute: mean of each minute, to tell what settles from what grows. samples: taken after settling.
    load: mean number of busy processes over the last minute, at start and end. handles, threads: open files and
    threads once settled and at the end. actions: where events went.
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
    mb_by_minute: tuple[float, ...] = ()
    schema_version: int = 1


class MemoryWatch:
    """Samples of this process's resident memory, open files and threads, taken by a thread of its own inside a `with`.

    They are kept as bare numbers: as objects, a sample every two seconds grew by 0.3 MB an hour itself.
    """

    def __init__(self, *, every_s: float) -> None:
        self._memory, self._counts = array("d"), array("i")
        self._every_s, self._halt = every_s, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._halt.set()
        self._thread.join()

    @property
    def samples(self) -> list[Sample]:
        """(seconds, MB) so far."""
        return list(zip(self._memory[::2], self._memory[1::2], strict=False))

    @property
    def counts(self) -> list[Count]:
        """(open files, threads) at the same moments."""
        return list(zip(self._counts[::2], self._counts[1::2], strict=False))

    def _watch(self) -> None:
        began = time.monotonic()
        while True:
            self._counts.extend((len(list(HANDLES.iterdir())), len(list(TASKS.iterdir()))))
            self._memory.extend((time.monotonic() - began, resident_mb()))
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
    # What is left while detector and source close is no part of the run; the last samples may be of that moment.
    samples, counts = watch.samples[:-CLOSING] or watch.samples, watch.counts[:-CLOSING] or watch.counts
    settled = settle(samples)
    calm, end = counts[-len(settled)], counts[-1]
    return SoakRecord(
        minutes=round(summary.seconds / 60, 2), settled_after=round(settled[0][0] / 60, 2),
        mb_per_hour=round(slope(settled), 3),
        mb_at=(round(samples[0][1], 2), round(settled[0][1], 2), round(samples[-1][1], 2)),
        samples=len(settled), load=(round(load, 2), round(os.getloadavg()[0], 2)), run=records.to_dict(summary),
        handles=(calm[0], end[0]), threads=(calm[1], end[1]), actions=actions, mb_by_minute=by_minute(samples),
    )  # fmt: skip


def resident_mb() -> float:
    """MB of memory that this process holds now, without pages of files, which the kernel takes back when it likes: a
    looped store brings one page after the other of its mapped points."""
    resident, of_files = map(int, STATM.read_text().split()[1:3])
    return (resident - of_files) * os.sysconf("SC_PAGE_SIZE") / 2**20


def settle(samples: list[Sample]) -> list[Sample]:
    """Those after the first third, or after five minutes where that is sooner."""
    after = min(samples[-1][0] * SETTLE_SHARE, SETTLE_MOST_S)
    return [sample for sample in samples if sample[0] >= after]


def by_minute(samples: list[Sample]) -> tuple[float, ...]:
    """Mean MB of each minute that has samples."""
    minutes: dict[int, list[float]] = {}
    for seconds, megabytes in samples:
        minutes.setdefault(int(seconds // 60), []).append(megabytes)
    return tuple(round(float(np.mean(held)), 2) for held in minutes.values())


def slope(samples: list[Sample]) -> float:
    """MB an hour of the least-squares line; 0 where there are less than two samples."""
    if len(samples) < 2:
        return 0.0
    seconds, megabytes = np.array(samples).T
    return float(3600 * np.polyfit(seconds, megabytes, 1)[0])


class Taken(NamedTuple):
    """Seconds by the clock, and of them those that the process ran, which other processes do not lengthen so much."""

    clock: float
    processor: float


@dataclass(frozen=True)
class StartRecord:
    """Milliseconds, median and slowest of some fresh processes.

    import_ms: of `last_edge.runtime.pipeline.run` and all that it imports. label_ms: from the start of the process
    `last-edge run` on synthetic points to its first prediction. first_label: its label. The medians of the processor's
    time beside them say what a machine would take that does nothing else. load: busy processes before and after.
    """

    bundle: str
    precision: str
    rounds: int
    import_ms: float
    import_slowest_ms: float
    import_processor_ms: float
    label_ms: float
    label_slowest_ms: float
    label_processor_ms: float
    first_label: str
    load: tuple[float, float]
    schema_version: int = 1


def bench_start(bundle: Path, *, precision: Precision | None = None, rounds: int = 5) -> StartRecord:
    """Start fresh processes in turns; raises what `run` raises for a bundle that it cannot load."""
    model = Recogniser.open(bundle, precision=precision)
    before = os.getloadavg()[0]
    imports, labels, label = list[Taken](), list[Taken](), ""
    for _ in range(rounds):
        imports.append(import_seconds())
        taken, label = first_label(bundle, model.precision)
        labels.append(taken)
    import_ms, import_slowest, import_processor = _figures(imports)
    label_ms, label_slowest, label_processor = _figures(labels)
    return StartRecord(
        bundle=model.name, precision=model.precision, rounds=rounds, import_ms=import_ms,
        import_slowest_ms=import_slowest, import_processor_ms=import_processor, label_ms=label_ms,
        label_slowest_ms=label_slowest, label_processor_ms=label_processor, first_label=label,
        load=(round(before, 2), round(os.getloadavg()[0], 2)),
    )  # fmt: skip


def import_seconds() -> Taken:
    """What a fresh process takes to import the runtime."""
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    return Taken(*map(float, done.stdout.split()))


def first_label(bundle: Path, precision: str) -> tuple[Taken, str]:
    """What a process takes from its start to its first prediction, and the label of that."""
    command = [sys.executable, "-m", "last_edge.tools.cli", "run", str(bundle), "--source", "synthetic", "--no-window"]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        [*command, "--precision", precision, "--quiet", "--events", "/dev/stdout"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if (record := json.loads(line))["type"] == "frame" and record["prediction"] is not None:
                seconds = time.perf_counter() - began
                process.kill()
                process.wait()
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                return Taken(seconds, used), str(record["prediction"]["top"][0]["label"])
            if record["type"] == "summary":
                break
    raise InputError("the bundle predicts nothing on synthetic points", where=bundle)


def _figures(taken: Sequence[Taken]) -> tuple[float, float, float]:
    """Milliseconds: median and slowest by the clock, median of the processor's."""
    clock, processor = zip(*taken, strict=True)
    median, slowest = statistics.median(clock), max(clock)
    return round(1000 * median, 1), round(1000 * slowest, 1), round(1000 * statistics.median(processor), 1)
