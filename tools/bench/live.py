"""How `run` keeps up with sources in real time: every stage, what waited, what was dropped, our share of a frame."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from last_edge import records
from last_edge.errors import InputError, LastEdgeError, UsageError
from last_edge.files import write_text
from last_edge.runtime.pipeline.options import RunOptions, RunSummary
from last_edge.runtime.pipeline.run import run
from last_edge.runtime.pipeline.timings import StageTiming
from last_edge.train.environment import commit, processor

PLAYED = (".mp4", ".mov", ".avi", ".webm", ".mkv", ".pose")
RATE = 30.0
OURS = ("recognise", "present")


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
    bundle: Path,
    sources: Sequence[str],
    *,
    options: RunOptions,
    command: str = "",
    tell: Callable[[str], None] = lambda text: None,
) -> list[LiveRecord]:
    """Play each source once at its own rate; a row says why where one of several does not fit.

    Raises as `run` does when none fits.
    """
    rows: list[LiveRecord] = []
    same = {"command": command, **machine()}
    for source in sources:
        tell(source)
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


def machine() -> dict[str, Any]:
    """Processor, system and code of a record."""
    return {"device": processor(), "cores": os.cpu_count() or 1, "commit": commit(),
            "platform": f"{platform.system()} {platform.machine()}"}  # fmt: skip


def _record(summary: RunSummary, load: tuple[float, float], same: dict[str, Any]) -> LiveRecord:
    timings = summary.timings_ms
    return LiveRecord(
        bundle=summary.model,
        precision=summary.precision,
        source=Path(summary.source).name,
        detector=summary.detector,
        seconds=summary.seconds,
        captured=summary.captured,
        frames=summary.frames,
        with_points=summary.frames_with_points,
        events=summary.events,
        dropped=summary.dropped,
        waiting=summary.queues,
        timings_ms=timings,
        ours=round(100 * sum(timings[stage].busy for stage in OURS if stage in timings) * RATE / 1000, 2),
        load=(round(load[0], 2), round(load[1], 2)),
        **same,
    )


def save_live_records(rows: Sequence[LiveRecord], path: Path) -> None:
    """Write rows as a JSON list."""
    write_text(path, json.dumps([records.to_dict(row) for row in rows], indent=1) + "\n")


def load_live_records(path: Path) -> list[LiveRecord]:
    """Read what `save_live_records` wrote; `InputError` names file, row and field when it does not fit."""
    content = records.read_json(path)
    if not isinstance(content, list):
        hint = "last-edge bench live BUNDLE --source FOLDER --out FILE.json"
        raise InputError("not a list of live records", where=path, got=type(content).__name__, hint=hint)
    return [records.from_dict(LiveRecord, row, where=f"{path} › {index}") for index, row in enumerate(content)]
