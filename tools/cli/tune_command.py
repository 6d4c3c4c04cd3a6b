"""`last-edge bench tune`: the fastest settings of a bundle on this machine, kept in its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from last_edge.tools.cli import options
from last_edge.tools.cli.output import emit, make_table

Precisions = Annotated[list[str] | None, typer.Option("--precision", help="fp32 or int8; repeatable. Default: all.")]
Threads = Annotated[
    list[int] | None, typer.Option("--threads", min=1, help="To try; repeatable. Default: 1, 2, 4 … and every core.")
]
Spin = Annotated[bool, typer.Option("--spin", help="Also try threads that spin: for a device that does nothing else.")]


def tune(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder or .last file.")],
    precision: Precisions = None,
    threads: Threads = None,
    spin: Spin = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Try threads, memory arena and bound buffers in ONNX Runtime, and keep the fastest set in the bundle's manifest.

    run, eval and bench use it from then on. It changes how fast a graph runs, never what it computes, and is kept only
    where it beats the usual settings again in a second measurement. Hashes and seal are written anew.

    Example: last-edge bench tune runs/shrec14/bundle
    """
    from last_edge.tools.bench.tune import TuneOptions, keep, tune_bundle

    found = tune_bundle(bundle, TuneOptions(tuple(precision or ()), tuple(threads or ()), spin))
    if not dry_run:
        keep(bundle, found)
    rows = [
        {"precision": result.precision, **result.to_figures(), "tried": len(result.tried),
         "gain": round(result.usual_ms / result.p50_ms, 3)}
        for result in found
    ]  # fmt: skip
    emit({"kept": not dry_run, "rows": rows}, as_json=json, table=lambda: _table(bundle, rows))


def _table(bundle: Path, rows: list[dict[str, Any]]) -> Any:
    names = ("precision", "threads", "spin", "arena", "buffers", "p50_ms", "usual_p50_ms", "gain", "tried")
    return make_table(str(bundle), {name: [row[name] for row in rows] for name in names})
