"""`last-edge bench BUNDLE`: latency, memory and size of exported files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from last_edge.tools.cli import options
from last_edge.tools.cli.output import emit

if TYPE_CHECKING:
    from last_edge.tools.bench.record import BenchRecord

Precisions = Annotated[list[str] | None, typer.Option("--precision", help="fp32 or int8; repeatable. Default: all.")]
Backends = Annotated[
    list[str] | None, typer.Option("--backend", help="Repeatable; all for every one here. Default: onnxruntime-cpu.")
]
Threads = Annotated[
    list[int] | None, typer.Option("--threads", min=1, help="Of the model; repeatable. Default: the bundle's, else 1.")
]
Plain = Annotated[
    list[Path] | None, typer.Option("--plain", help="An ONNX file, exported naively, to compare with; repeatable.")
]
Usual = Annotated[bool, typer.Option("--usual", help="Leave what `bench tune` found for a bundle alone.")]
Rounds = Annotated[int, typer.Option("--repeats", min=1, help="Rounds; the files take turns in each.")]
Calls = Annotated[int, typer.Option("--calls", min=1, help="Timed calls a file and round.")]


def bench(
    bundles: Annotated[list[Path], typer.Argument(help="Bundle folders, .last files or bare .onnx files.")],
    precision: Precisions = None,
    backend: Backends = None,
    threads: Threads = None,
    plain: Plain = None,
    usual: Usual = False,
    repeats: Rounds = 10,
    calls: Calls = 50,
    max_ms: Annotated[float | None, typer.Option("--max-ms", help="Fail (exit 4) when a p50 is above this.")] = None,
    memory: Annotated[bool, typer.Option("--memory/--no-memory", help="Weigh each file in its own process.")] = True,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the records to this file.")] = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Measure exported files in backends with thread counts, interleaved in one process, batch 1, on golden clips.

    Accuracy beside a row is that of the very same file, from the bundle's manifest. `faster` is against the FP32 file
    of the same bundle, backend and threads, and against a --plain file of the same input. `last-edge bench train`
    measures training instead, `last-edge bench tune` finds the fastest settings; a bundle of such a name is ./train.
    Of a translator: the encoder, one step of the decoder after 12 sub-words, and a sentence of 12.

    Example: last-edge bench runs/demo/bundle --threads 1 --out runs/demo/bench.json
    """
    from last_edge import records
    from last_edge.files import check_free
    from last_edge.timing import Schedule
    from last_edge.tools.bench.record import bench_table, save_records
    from last_edge.tools.bench.run import BenchOptions, bench_bundles

    if out is not None:
        check_free(out, force=force)
    schedule = Schedule(rounds=repeats, calls=calls)
    chosen = BenchOptions(
        tuple(precision or ()),
        threads=tuple(threads or ()),
        backends=tuple(backend or ("onnxruntime-cpu",)),
        plain=tuple(plain or ()),
        usual=usual,
        memory=memory,
        schedule=schedule,
    )
    rows = bench_bundles(bundles, chosen)
    if out is not None:
        save_records(rows, out)
    emit([records.to_dict(row) for row in rows], as_json=json, table=lambda: bench_table(rows))
    _check_limit(rows, max_ms)


def _check_limit(rows: list[BenchRecord], max_ms: float | None) -> None:
    from last_edge.errors import GateError

    slow = [f"{row.file} {row.p50_ms} ms" for row in rows if max_ms is not None and row.p50_ms > max_ms]
    if slow:
        raise GateError("slower than allowed", expected=f"p50 <= {max_ms} ms", got=", ".join(slow))
