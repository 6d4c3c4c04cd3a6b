"""Live figures for people: one table's columns, and a Markdown page that says where its figures come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from last_edge.runtime.pipeline.pipeline import STAGES
from last_edge.tools.bench.live import LiveRecord
from last_edge.tools.cli.output import markdown

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


def _joined(counts: dict[str, int]) -> str:
    return ", ".join(map(str, counts.values()))


COLUMNS: dict[str, Callable[[LiveRecord], str]] = {
    "source": lambda row: row.source,
    "precision": lambda row: row.precision or "–",
    "detector": lambda row: row.detector or "–",
    "frames": lambda row: row.refused.replace("|", "\\|") or str(row.captured),
    "dropped": lambda row: str(sum(row.dropped.values())),
    "waiting": lambda row: _joined(row.waiting),
    **{stage: lambda row, stage=stage: _stage(row, stage) for stage in STAGES},  # type: ignore[misc]
    "ours %": lambda row: "–" if row.refused else f"{row.ours:.2f}",
    "load": lambda row: "–" if row.refused else f"{row.load[0]:.1f} – {row.load[1]:.1f}",
}


def where(row: LiveRecord) -> str:
    """The machine, the code and the bundle of a row."""
    return f"`{row.bundle}`; {row.device}, {row.cores} cores, {row.platform}; commit {row.commit}"


def to_markdown(rows: Sequence[LiveRecord]) -> str:
    """A page with a table for each machine and bundle, under the commands that measured it."""
    parts = ["# Live, in real time\n", ABOUT]
    for place in dict.fromkeys(map(where, rows)):
        here = [row for row in rows if where(row) == place]
        commands = "\n".join(dict.fromkeys(row.command for row in here if row.command))
        parts += [
            f"{place}.\n",
            f"```sh\n{commands}\n```\n",
            markdown({name: list(map(show, here)) for name, show in COLUMNS.items()}),
        ]
    return "\n".join(parts)
