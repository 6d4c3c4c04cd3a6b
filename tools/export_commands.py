"""`last-edge export | quantize | verify`: from a run to a bundle, and the proof of what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from last_edge.tools import options
from last_edge.tools.output import emit, make_table

if TYPE_CHECKING:
    from rich.table import Table

    from last_edge.bundle import Manifest
    from last_edge.clips.store import ClipStore

Method = Literal["minmax", "percentile", "entropy"]
BundlePath = Annotated[Path, typer.Argument(help="A bundle folder or .last file.")]
MeasureOn = Annotated[Path | None, typer.Option("--store", help="A clip store to measure on.")]
Split = Annotated[str, typer.Option("--split", help="Split to measure on.")]
Share = Annotated[float, typer.Option("--percentile", help="With that method: percent of values inside the range.")]
KeepFloat = Annotated[list[str] | None, typer.Option("--keep-float", help="Node of the FP32 graph; repeatable.")]


def export(
    run: Annotated[Path, typer.Argument(help="A run, or one of its checkpoints.")],
    out: options.Out,
    store: MeasureOn = None,
    split: Split = "test",
    threads: options.Threads = 1,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Write a run's best checkpoint as a bundle: one ONNX graph from raw landmarks to logits, with its manifest.

    Ends in exit code 4, and writes nothing, when the graph does not compute what the model does.

    Example: last-edge export runs/shrec14/student --out runs/shrec14/bundle --store runs/shrec14/store
    """
    from last_edge.export.bundle_writer import export_run
    from last_edge.export.preview import preview_export

    opened = _open(store)
    if dry_run:
        emit(preview_export(run, out, store=opened, split=split, force=force), as_json=json)
        return
    _torch_threads(threads)
    manifest = export_run(run, out, store=opened, split=split, threads=threads, force=force)
    _show(manifest, out, json=json)


def quantize(
    bundle: BundlePath,
    store: options.Store,
    method: Annotated[Method, typer.Option("--method", help="How ranges are found.")] = "entropy",
    percentile: Share = 99.99,
    clips: Annotated[int, typer.Option("--clips", min=1, help="Most calibration clips, drawn by class.")] = 1000,
    keep_float: KeepFloat = None,
    seed: Annotated[int, typer.Option("--seed", help="Draws the calibration clips.")] = 0,
    split: Split = "test",
    threads: options.Threads = 1,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Add a static INT8 graph to a bundle, ranges from its store's training split, and measure both graphs.

    Example: last-edge quantize runs/shrec14/bundle --store runs/shrec14/store
    """
    from last_edge.clips.store import ClipStore
    from last_edge.export.bundle_writer import quantize_bundle
    from last_edge.export.preview import preview_quantize
    from last_edge.export.quantize import QuantizeOptions

    chosen = QuantizeOptions(method=method, percentile=percentile, keep_float=tuple(keep_float or ()))
    opened = ClipStore.open(store)
    if dry_run:
        planned = preview_quantize(bundle, opened, count=clips, seed=seed, split=split, force=force)
        emit(planned, as_json=json)
        return
    manifest = quantize_bundle(
        bundle, opened, options=chosen, count=clips, seed=seed, split=split, threads=threads, force=force
    )
    _show(manifest, bundle, json=json)


def verify(
    bundle: BundlePath,
    store: MeasureOn = None,
    threads: options.Threads = 1,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Check hashes, golden tensors, card and parameter count, and with --store every accuracy and parity figure.

    Exit code 0, or 4 when one differs.

    Example: last-edge verify runs/shrec14/bundle --store runs/shrec14/store
    """
    import dataclasses

    from last_edge.export.verify import require, verify_bundle

    checks = verify_bundle(bundle, _open(store), threads=threads)
    rows = [dataclasses.asdict(check) for check in checks]
    _show_rows(rows, title=f"{bundle.name}: {len(rows)} checks", json=json)
    require(checks, where=bundle)


def _open(store: Path | None) -> ClipStore | None:
    if store is None:
        return None
    from last_edge.clips.store import ClipStore

    return ClipStore.open(store)


def _torch_threads(threads: int) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)


def _show(manifest: Manifest, path: Path, *, json: bool) -> None:
    """The measured figures of a bundle and where it lies."""
    from last_edge import records

    if json:
        emit({"bundle": str(path), "manifest": records.to_dict(manifest)}, as_json=True)
        return
    rows = [{"precision": precision, **manifest.metrics.get(precision, {})} for precision in manifest.precisions]
    shown = [{name: value for name, value in row.items() if name != "store_sha256"} for row in rows]
    _show_rows(shown, title=str(path), json=False)


def _show_rows(rows: Sequence[dict[str, Any]], *, title: str, json: bool) -> None:
    emit({"rows": list(rows)}, as_json=json, table=lambda: _table(title, rows))


def _table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return make_table(title, {name: [_cell(name, row.get(name, "")) for row in rows] for name in names})


def _cell(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "ok" if value else "FAILED"
    return f"{value:.3g}" if name.endswith("_abs") else str(value)
