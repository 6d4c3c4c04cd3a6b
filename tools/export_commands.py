"""`last-edge export | quantize | parity | verify`: from a run to a bundle, and the proof of what it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from last_edge.bundle import Manifest
    from last_edge.clips.store import ClipStore

Method = Literal["minmax", "percentile", "entropy"]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Store = Annotated[Path | None, typer.Option(help="Clip store to measure on.")]
Split = Annotated[str, typer.Option(help="Split to measure on.")]
BundlePath = Annotated[Path, typer.Argument(help="Bundle folder or .last file.")]


def export(
    run: Annotated[Path, typer.Argument(help="Run folder, or one of its checkpoints.")],
    out: Annotated[Path, typer.Option(help="Bundle folder, or a file that ends in .last.")],
    store: Store = None,
    split: Split = "test",
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Write a run's best checkpoint as a bundle: one ONNX graph from raw landmarks to logits, with its manifest.

    Example: last-edge export runs/shrec14/student --out bundles/shrec14 --store data/shrec14
    """
    from last_edge.export.bundle_writer import export_run

    manifest = export_run(run, out, store=_open(store), split=split, force=force)
    _show_manifest(manifest, out, as_json=as_json, quiet=quiet)


def quantize(
    bundle: BundlePath,
    store: Annotated[Path, typer.Option(help="Clip store: its train split finds the ranges.")],
    method: Annotated[Method, typer.Option(help="How ranges are found.")] = "entropy",
    percentile: Annotated[float, typer.Option(help="Share of values inside the range, for percentile.")] = 99.99,
    clips: Annotated[int, typer.Option(min=1, help="Most calibration clips, drawn by class.")] = 1000,
    keep_float: Annotated[list[str] | None, typer.Option(help="Node of the FP32 graph to leave in float.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the calibration clips.")] = 0,
    split: Split = "test",
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Add an INT8 graph to a bundle and measure both graphs.

    Example: last-edge quantize bundles/shrec14 --store data/shrec14
    """
    from last_edge.clips.store import ClipStore
    from last_edge.export.bundle_writer import quantize_bundle
    from last_edge.export.quantize import QuantizeOptions

    options = QuantizeOptions(method=method, percentile=percentile, keep_float=tuple(keep_float or ()))
    manifest = quantize_bundle(
        bundle, ClipStore.open(store), options=options, count=clips, seed=seed, split=split, force=force
    )
    _show_manifest(manifest, bundle, as_json=as_json, quiet=quiet)


def parity(
    bundle: BundlePath,
    store: Store = None,
    run: Annotated[Path | None, typer.Option(help="Run the bundle came from, to compare torch on the store.")] = None,
    split: Split = "test",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare torch, FP32 and INT8: largest difference of logits and share of equal answers. Fails with exit code 4.

    Example: last-edge parity bundles/shrec14 --store data/shrec14 --run runs/shrec14/student
    """
    from last_edge.export.parity import bundle_parity, check_rows

    rows = bundle_parity(bundle, store=_open(store), run=run, split=split)
    _print_rows(rows, title="parity", as_json=as_json, quiet=quiet)
    check_rows(rows, where=bundle)


def verify(
    bundle: BundlePath,
    store: Store = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check hashes and golden tensors, and with --store every recorded figure. Exit code 0, or 4 when one differs.

    Example: last-edge verify bundles/shrec14 --store data/shrec14
    """
    import dataclasses

    from last_edge.export.verify import require, verify_bundle

    checks = verify_bundle(bundle, _open(store))
    rows = [dataclasses.asdict(check) for check in checks]
    _print_rows(rows, title=f"{bundle.name}: {len(rows)} checks", as_json=as_json, quiet=quiet)
    require(checks, where=bundle)


def _open(store: Path | None) -> ClipStore | None:
    if store is None:
        return None
    from last_edge.clips.store import ClipStore

    return ClipStore.open(store)


def _show_manifest(manifest: Manifest, path: Path, *, as_json: bool, quiet: bool) -> None:
    """The measured figures of a bundle and where it lies."""
    from last_edge import records

    if as_json:
        typer.echo(json.dumps({"bundle": str(path), "manifest": records.to_dict(manifest)}))
        return
    rows = [{"precision": precision, **manifest.metrics.get(precision, {})} for precision in manifest.precisions]
    shown = [{name: value for name, value in row.items() if name != "store_sha256"} for row in rows]
    _print_rows(shown, title=manifest.name, as_json=False, quiet=quiet)
    if not quiet:
        typer.echo(f"→ {path}")


def _print_rows(rows: Sequence[dict[str, Any]], *, title: str, as_json: bool, quiet: bool) -> None:
    """Rows as a table, or as one JSON object."""
    if as_json:
        typer.echo(json.dumps({"rows": list(rows)}, ensure_ascii=False))
        return
    if quiet:
        return
    from rich.console import Console
    from rich.table import Table

    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(f"{row[name]:.3g}" if name.endswith("_abs") else str(row.get(name, "")) for name in columns))
    Console().print(table)
