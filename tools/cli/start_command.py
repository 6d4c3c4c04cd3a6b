"""`last-edge bench start`: how soon a device answers after it is switched on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.tools.cli import options
from last_edge.tools.cli.output import emit, make_table
from last_edge.tools.cli.runtime_commands import Graph

if TYPE_CHECKING:
    from rich.table import Table

    from last_edge.tools.bench.start import StartRecord

Rounds = Annotated[int, typer.Option("--repeats", min=1, help="Fresh processes of each kind.")]
MaxImport = Annotated[
    float | None, typer.Option("--max-import-ms", help="Fail (exit 4) when importing takes longer, by the median.")
]
MaxLabel = Annotated[
    float | None, typer.Option("--max-label-ms", help="Fail (exit 4) when the first label comes later, by the median.")
]


def start(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle folder or .last file.")],
    precision: Graph = None,
    repeats: Rounds = 5,
    max_import_ms: MaxImport = None,
    max_label_ms: MaxLabel = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the record to this file.")] = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Time fresh processes: the import of the runtime, and `last-edge run` up to its first prediction on made points.

    Example: last-edge bench start zoo/last_lite_nano_shrec14 --max-import-ms 300 --max-label-ms 1000
    """
    from last_edge import records
    from last_edge.files import check_free, write_text
    from last_edge.tools.bench.start import bench_start

    if out is not None:
        check_free(out, force=force)
    record = bench_start(bundle, precision=precision, rounds=repeats)
    if out is not None:
        write_text(out, records.to_json(record))
    emit(records.to_dict(record), as_json=json, table=lambda: _table(record))
    _check_limit("importing the runtime", record.import_ms, max_import_ms)
    _check_limit("the first label", record.label_ms, max_label_ms)


def _table(record: StartRecord) -> Table:
    columns: dict[str, list[Any]] = {
        "": ["import of the runtime", f"first label ({record.first_label})"],
        "median ms": [record.import_ms, record.label_ms],
        "slowest ms": [record.import_slowest_ms, record.label_slowest_ms],
    }
    load = " to ".join(map(str, record.load))
    return make_table(f"{record.bundle}, {record.precision}: {record.rounds} processes, load {load}", columns)


def _check_limit(what: str, got: float, most: float | None) -> None:
    from last_edge.errors import GateError

    if most is not None and got > most:
        raise GateError(f"{what} takes too long", expected=f"<= {most} ms", got=f"{got} ms")
