"""`last-edge export | verify`: from a run to a bundle, and the proof of what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.tools.cli import options
from last_edge.tools.cli.output import emit, make_table
from last_edge.tools.cli.translate_command import export_translator, is_translator, refuse

if TYPE_CHECKING:
    from rich.table import Table

    from last_edge.bundle import Manifest
    from last_edge.clips.store import ClipStore

BundlePath = Annotated[Path, typer.Argument(help="A bundle folder or .last file.")]
MeasureOn = Annotated[Path | None, typer.Option("--store", help="A clip store to measure on.")]
DynamicTime = Annotated[bool, typer.Option("--dynamic-time", help="The graph takes clips of any length.")]
Plain = Annotated[bool, typer.Option("--plain", help="Only the graph as it was trained, to compare; --out F.onnx.")]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", help="Also what tensorrt, tensorrt-rtx or litert takes; repeatable. Checked here."),
]
Weights = Annotated[bool, typer.Option("--weights", help="Also the float weights, for a training to start from.")]
Split = Annotated[str, typer.Option("--split", help="Split to measure on.")]


def export(
    run: Annotated[Path, typer.Argument(help="A run, or one of its checkpoints.")],
    out: options.Out,
    store: MeasureOn = None,
    split: Split = "test",
    dynamic_time: DynamicTime = False,
    weights: Weights = False,
    plain: Plain = False,
    target: Targets = None,
    threads: options.Threads = 1,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Write a run's best checkpoint as a bundle: one ONNX graph from raw landmarks to logits, with its manifest.

    Ends in exit code 4, and writes nothing, when the graph does not compute what the model does. --target tensorrt
    adds, with a store, an INT8 graph in TensorRT's format and tells what to type on the device; tensorrt-rtx builds the
    engine too; litert adds a .tflite file.

    Example: last-edge export runs/shrec14/student --out runs/shrec14/bundle --store runs/shrec14/store
    """
    from last_edge.export.bundles.bundle_writer import export_run
    from last_edge.export.bundles.preview import preview_export
    from last_edge.export.targets.deploy import add_targets, known_targets

    if is_translator(run):
        asked = {"--dynamic-time": dynamic_time, "--weights": weights, "--plain": plain, "--target": bool(target)}
        refuse(asked)
        made = export_translator(run, out, _open(store), split=split, threads=threads, dry_run=dry_run, force=force)
        emit(made, as_json=json)
        return
    if plain:
        _plain(run, out, dry_run=dry_run, force=force, json=json)
        return
    opened, targets = _open(store), known_targets(target or [])
    if dry_run:
        planned = preview_export(run, out, store=opened, split=split, weights=weights, force=force)
        emit({**planned, **({"targets": targets} if targets else {})}, as_json=json)
        return
    _torch_threads(threads)
    manifest = export_run(
        run, out, store=opened, split=split, threads=threads, dynamic_time=dynamic_time, weights=weights, force=force
    )
    if not targets:
        _show(manifest, out, json=json)
        return
    from last_edge.bundle import Bundle

    added = add_targets(out, run, targets, store=opened, split=split, threads=threads)
    _show(Bundle.open(out).manifest, out, json=json, added=added)


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

    from last_edge.export.proof.verify import require, verify_bundle

    if bundle.exists() and is_translator(bundle):
        from last_edge.export.proof.translation_verify import verify_translation

        checks = verify_translation(bundle, _open(store), threads=threads)
    else:
        checks = verify_bundle(bundle, _open(store), threads=threads)
    rows = [dataclasses.asdict(check) for check in checks]
    _show_rows(rows, title=f"{bundle.name}: {len(rows)} checks", json=json)
    require(checks, where=bundle)


def _plain(run: Path, out: Path, *, dry_run: bool, force: bool, json: bool) -> None:
    """The run's graph without folding, as one ONNX file."""
    from last_edge.export.onnx.onnx_graph import plain_onnx
    from last_edge.files import check_free, writing
    from last_edge.train.checkpoint import load_checkpoint

    check_free(out, force=force)
    checkpoint = load_checkpoint(run)
    if dry_run:
        emit({"would_write": str(out), "model": checkpoint.card.name}, as_json=json)
        return
    graph = plain_onnx(checkpoint.model, labels=checkpoint.labels, name=checkpoint.card.name)
    with writing(out) as stream:
        stream.write(graph)
    emit({"file": str(out), "bytes": len(graph)}, as_json=json)


def _open(store: Path | None) -> ClipStore | None:
    if store is None:
        return None
    from last_edge.clips.store import ClipStore

    return ClipStore.open(store)


def _torch_threads(threads: int) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)


def _show(manifest: Manifest, path: Path, *, json: bool, added: dict[str, Any] | None = None) -> None:
    """The measured figures of a bundle, where it lies, and what was added for other runtimes."""
    from last_edge import records

    if json:
        said = {"bundle": str(path), "manifest": records.to_dict(manifest)}
        emit({**said, **({} if added is None else {"targets": added})}, as_json=True)
        return
    rows = [{"precision": precision, **manifest.metrics.get(precision, {})} for precision in manifest.precisions]
    shown = [{name: value for name, value in row.items() if name != "store_sha256"} for row in rows]
    _show_rows(shown, title=str(path), json=False)
    if added:
        emit(added, as_json=False)


def _show_rows(rows: Sequence[dict[str, Any]], *, title: str, json: bool) -> None:
    emit({"rows": list(rows)}, as_json=json, table=lambda: _table(title, rows))


def _table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return make_table(title, {name: [_cell(name, row.get(name, "")) for row in rows] for name in names})


def _cell(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "ok" if value else "FAILED"
    return f"{value:.3g}" if name.endswith("_abs") else str(value)
