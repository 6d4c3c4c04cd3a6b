"""`last-edge bench`: latency, memory and size of exported files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.tools import options
from last_edge.tools.output import emit, make_table

if TYPE_CHECKING:
    from last_edge.tools.bench.record import BenchRecord

Precisions = Annotated[list[str] | None, typer.Option("--precision", help="fp32 or int8; repeatable. Default: all.")]
Rounds = Annotated[int, typer.Option("--repeats", min=1, help="Rounds; the files take turns in each.")]
Calls = Annotated[int, typer.Option("--calls", min=1, help="Timed calls a file and round.")]


def bench(
    bundles: Annotated[list[Path], typer.Argument(help="Bundle folders or .last files.")],
    precision: Precisions = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of the model.")] = 1,
    repeats: Rounds = 10,
    calls: Calls = 50,
    max_ms: Annotated[float | None, typer.Option("--max-ms", help="Fail (exit 4) when a p50 is above this.")] = None,
    memory: Annotated[bool, typer.Option("--memory/--no-memory", help="Weigh each file in its own process.")] = True,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the records to this file.")] = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Measure the exported files of bundles, interleaved in one process, batch 1, on their golden clips.

    Accuracy beside a row is that of the very same file, from the bundle's manifest.

    Example: last-edge bench runs/demo/bundle --threads 1 --out runs/demo/bench.json
    """
    from last_edge import records
    from last_edge.files import check_free
    from last_edge.tools.bench.measure import Schedule
    from last_edge.tools.bench.record import save_records
    from last_edge.tools.bench.run import BenchOptions, bench_bundles

    if out is not None:
        check_free(out, force=force)
    schedule = Schedule(rounds=repeats, calls=calls)
    chosen = BenchOptions(tuple(precision or ()), threads=threads, memory=memory, schedule=schedule)
    rows = bench_bundles(bundles, chosen)
    if out is not None:
        save_records(rows, out)
    emit([records.to_dict(row) for row in rows], as_json=json, table=lambda: bench_table(rows))
    _check_limit(rows, max_ms)


def bench_table(rows: list[BenchRecord]) -> Any:
    """Records as a table for people."""
    columns: dict[str, list[Any]] = {
        "artefact": [row.artefact for row in rows],
        "precision": [row.precision for row in rows],
        **{f"{part} ms": [f"{getattr(row, part + '_ms'):.2f}" for row in rows] for part in ("p50", "p95", "p99")},
        "load ms": [f"{row.load_ms:.1f}" for row in rows],
        "kB": [f"{row.size_bytes / 1000:.0f}" for row in rows],
        "MB": [_shown(row.rss_mb) for row in rows],
        "top-1": [_shown(row.top1) for row in rows],
    }
    first = rows[0]
    threads = f"{first.threads} thread{'s' if first.threads > 1 else ''}"
    return make_table(f"{first.device}, {first.backend} {first.backend_version}, {threads}, batch 1", columns)


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"


def _check_limit(rows: list[BenchRecord], max_ms: float | None) -> None:
    from last_edge.errors import GateError

    slow = [f"{row.file} {row.p50_ms} ms" for row in rows if max_ms is not None and row.p50_ms > max_ms]
    if slow:
        raise GateError("slower than allowed", expected=f"p50 <= {max_ms} ms", got=", ".join(slow))
