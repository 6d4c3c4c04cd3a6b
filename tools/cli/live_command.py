"""`last-edge bench live`: whether `run` keeps up with recordings played in real time, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.errors import UsageError
from last_edge.tools.cli import options
from last_edge.tools.cli.bench_train_command import command_line
from last_edge.tools.cli.output import emit, make_table, stderr
from last_edge.tools.cli.runtime_commands import Detector, Graph, WhichHand

if TYPE_CHECKING:
    from last_edge.tools.bench.live import LiveRecord

Sources = Annotated[
    list[str] | None,
    typer.Option("--source", help="Any source of `run` that has an end, or a folder of recordings; repeatable."),
]
Outs = Annotated[list[Path] | None, typer.Option("--out", help="Records (.json) or a page (.md); repeatable.")]
Join = Annotated[list[Path] | None, typer.Option("--join", help="Records of earlier runs to show first; repeatable.")]
MaxOurs = Annotated[
    float | None, typer.Option("--max-ours", help="Fail (exit 4) when our share of a frame is above so many percent.")
]


def live(
    bundle: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="Bundle folder or .last file.")] = None,
    source: Sources = None,
    precision: Graph = None,
    landmarks: Detector = "auto",
    hand: WhichHand = "first",
    join: Join = None,
    max_ours: MaxOurs = None,
    out: Outs = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Play recordings at their own rate and tell p50, p95 and p99 of each stage, what waited and what was dropped.

    With --join and without BUNDLE nothing is played: records are shown, or put together in a page.

    Example: last-edge bench live zoo/last_lite_nano_shrec14 --source clips --out live.json --out live.md
    """
    from last_edge import records
    from last_edge.runtime.pipeline.options import RunOptions
    from last_edge.tools.bench.live import LiveRecord, bench_live, live_sources
    from last_edge.tools.bench.record import load_records

    _check(bundle, source, join, out or [], force=force)
    rows = [row for path in join or [] for row in load_records(path, LiveRecord)]
    if bundle is not None:
        chosen = RunOptions(precision=precision, detector=None if landmarks == "auto" else landmarks, hand=hand)
        tell = (lambda text: None) if quiet or json else (lambda text: stderr().print(text, highlight=False))
        sources = live_sources(source or [])
        rows += bench_live(bundle, sources, options=chosen, command=command_line(), tell=tell)
    _write(rows, out or [])
    emit([records.to_dict(row) for row in rows], as_json=json, table=lambda: _table(rows))
    _check_limit(rows, max_ours)


def _check(
    bundle: Path | None, source: list[str] | None, join: list[Path] | None, out: Sequence[Path], *, force: bool
) -> None:
    from last_edge.files import check_free

    if (bundle is None) != (not source) or (bundle is None and not join):
        raise UsageError("what is played?", expected="BUNDLE with --source, or --join FILE.json")
    for path in out:
        if path.suffix not in (".json", ".md"):
            raise UsageError("live figures are written as records or as a page", expected=".json or .md", got=path)
        check_free(path, force=force)


def _write(rows: Sequence[LiveRecord], paths: Sequence[Path]) -> None:
    from last_edge.files import write_text
    from last_edge.tools.bench.live import to_markdown
    from last_edge.tools.bench.record import save_records

    for path in paths:
        if path.suffix == ".json":
            save_records(rows, path)
        else:
            write_text(path, to_markdown(rows))


def _table(rows: Sequence[LiveRecord]) -> Any:
    from last_edge.tools.bench.live import COLUMNS, where

    title = "\n".join(dict.fromkeys(map(where, rows)))
    return make_table(title, {name: [show(row) for row in rows] for name, show in COLUMNS.items()})


def _check_limit(rows: Sequence[LiveRecord], most: float | None) -> None:
    from last_edge.errors import GateError

    slow = [f"{row.source} {row.ours}%" for row in rows if most is not None and row.ours > most]
    if slow:
        raise GateError("recognition takes too much of a frame", expected=f"<= {most}%", got=", ".join(slow))
