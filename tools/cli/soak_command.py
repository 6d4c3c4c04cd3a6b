"""`last-edge bench soak`: whether a bundle can run for days, by what its memory does in half an hour."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from last_edge.tools.cli import options
from last_edge.tools.cli.output import emit, make_table
from last_edge.tools.cli.runtime_commands import Detector, Graph, SourceName

if TYPE_CHECKING:
    from rich.table import Table

    from last_edge.tools.bench.soak import SoakRecord

Minutes = Annotated[float, typer.Option("--minutes", min=0.01, help="How long to play the source.")]
MaxSlope = Annotated[
    float | None, typer.Option("--max-slope", help="Fail (exit 4) when memory grows by more MB an hour.")
]
OutFile = Annotated[Path | None, typer.Option("--out", help="Also write the record to this file.")]


def soak(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle folder or .last file.")],
    source: SourceName,
    minutes: Minutes = 30.0,
    precision: Graph = None,
    landmarks: Detector = "auto",
    max_slope: MaxSlope = None,
    out: OutFile = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Play a source again and again in real time through all of `run` and tell how memory grows, in MB an hour.

    The first third, at most five minutes, counts as warming up. A live source has no end and cannot be looped.

    Example: last-edge bench soak zoo/last_lite_nano_utd27 --source store:runs/utd/store --max-slope 1
    """
    from last_edge import records
    from last_edge.files import check_free, write_text
    from last_edge.runtime.pipeline.options import RunOptions
    from last_edge.tools.bench.soak import soak as soak_bundle

    if out is not None:
        check_free(out, force=force)
    chosen = RunOptions(precision=precision, detector=None if landmarks == "auto" else landmarks)
    record = soak_bundle(bundle, source, minutes=minutes, options=chosen)
    if out is not None:
        write_text(out, records.to_json(record))
    emit(records.to_dict(record), as_json=json, table=lambda: _table(record))
    _check_limit(record, max_slope)


def _table(record: SoakRecord) -> Table:
    columns = {
        "minutes": [record.minutes],
        "frames": [record.run["frames"]],
        "dropped": [sum(record.run["dropped"].values())],
        "MB at start, settled, end": [", ".join(map(str, record.mb_at))],
        "MB an hour": [record.mb_per_hour],
        "load": [" to ".join(map(str, record.load))],
    }
    return make_table(f"{record.run['model']}, {record.run['precision']}, {record.run['source']}", columns)


def _check_limit(record: SoakRecord, most: float | None) -> None:
    from last_edge.errors import GateError

    if most is not None and record.mb_per_hour > most:
        raise GateError("memory grows", expected=f"<= {most} MB an hour", got=record.mb_per_hour)
