"""`last-edge export | engine`: from a run to a bundle, and from a bundle to a TensorRT engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from last_edge.tools.cli.options import (
    SCREEN,
    BundlePath,
    DryRun,
    Force,
    MeasureOn,
    Out,
    Screen,
    Split,
    Threads,
    open_store,
    torch_threads,
)
from last_edge.tools.output import rows_table

if TYPE_CHECKING:
    from last_edge.bundle import Manifest
    from last_edge.export.targets.tensorrt import Plan

Targets = Annotated[
    list[str] | None,
    typer.Option("--target", help="Also what tensorrt, tensorrt-rtx or litert takes; repeatable. Checked here."),
]


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run, or one of its checkpoints.")],
    out: Out,
    store: MeasureOn = None,
    split: Split = "test",
    dynamic_time: Annotated[bool, typer.Option("--dynamic-time", help="The graph takes clips of any length.")] = False,
    weights: Annotated[
        bool, typer.Option("--weights", help="Also the float weights, for a training to start from.")
    ] = False,
    hands: Annotated[
        Literal["left", "right", "both"] | None,
        typer.Option(
            "--hands", help="That it was taught; the other is mirrored. Default: right, of bundles of one hand."
        ),
    ] = None,
    opset: Annotated[
        int, typer.Option("--opset", help="Operator set of the graph, 17 to 20, for older runtimes.")
    ] = 20,
    plain: Annotated[
        bool, typer.Option("--plain", help="Only the graph as it was trained, to compare; --out F.onnx.")
    ] = False,
    target: Targets = None,
    threads: Threads = 1,
    dry_run: DryRun = False,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Write a run's best checkpoint as a bundle: one ONNX graph from raw landmarks to logits, with its manifest.

    Ends in exit code 4, and writes nothing, when the graph does not compute what the model does. --target tensorrt
    adds, with a store, an INT8 graph in TensorRT's format and tells what to type on the device; tensorrt-rtx builds the
    engine too; litert adds a .tflite file.

    Example: last-edge export runs/shrec14/student --out runs/shrec14/bundle --store runs/shrec14/store
    """
    from last_edge.bundle import Bundle
    from last_edge.export.bundles.bundle_writer import export_run, preview_export
    from last_edge.export.targets.deploy import add_targets, known_targets
    from last_edge.tasks.task import check_options
    from last_edge.train.checkpoint import task_of_run

    asked = {"--dynamic-time": dynamic_time, "--weights": weights, "--plain": plain, "--target": target,
             "--hands": hands, "--opset": opset != 20}  # fmt: skip
    check_options(task_of_run(run), asked, where=run)
    if plain:
        screen.emit(export_plain(run, out, dry_run=dry_run, force=force))
        return
    opened, targets = open_store(store), known_targets(target or [])
    if dry_run:
        about = preview_export(run, out, store=opened, split=split, weights=weights, force=force)
        screen.emit({**about, **({"targets": targets} if targets else {})})
        return
    torch_threads(threads)
    manifest = export_run(
        run, out, store=opened, split=split, threads=threads, dynamic_time=dynamic_time, weights=weights,
        hands=hands or "", opset=opset, force=force,
    )  # fmt: skip
    if not targets:
        show_bundle(manifest, out, screen)
        return
    added = add_targets(out, run, targets, store=opened, split=split, threads=threads)
    show_bundle(Bundle.open(out).manifest, out, screen, targets=added)
    if not screen.json:
        screen.emit(added)


def export_plain(run: Path, out: Path, *, dry_run: bool, force: bool) -> dict[str, Any]:
    """The run's graph without folding, as one ONNX file."""
    from last_edge.export.onnx.onnx_graph import plain_onnx
    from last_edge.files import check_free, writing
    from last_edge.train.checkpoint import load_checkpoint

    check_free(out, force=force)
    checkpoint = load_checkpoint(run)
    if dry_run:
        return {"would_write": str(out), "model": checkpoint.card.name}
    graph = plain_onnx(checkpoint.model, labels=checkpoint.labels, name=checkpoint.card.name)
    with writing(out) as stream:
        stream.write(graph)
    return {"file": str(out), "bytes": len(graph)}


def show_bundle(manifest: Manifest, path: Path, screen: Screen, **more: Any) -> None:
    """A bundle's figures, a row a precision; as JSON the whole manifest and what else is known."""
    from last_edge import records

    rows = [{"precision": name, **manifest.metrics.get(name, {})} for name in manifest.precisions or manifest.metrics]
    shown = [{name: value for name, value in row.items() if name != "store_sha256"} for row in rows]
    whole = {"bundle": str(path), "manifest": records.to_dict(manifest), **more}
    screen.emit(whole, table=lambda: rows_table(str(path), shown))


def engine(
    bundle: BundlePath,
    flavour: Annotated[
        Literal["tensorrt", "tensorrt-rtx"],
        typer.Option("--flavour", help="For Jetson and data-centre cards, or RTX cards."),
    ] = "tensorrt",
    precision: Annotated[
        str | None,
        typer.Option("--precision", help="Of the graph. Default: int8-tensorrt where the bundle has it, else fp32."),
    ] = None,
    max_batch: Annotated[int, typer.Option("--max-batch", min=1, help="Most clips in one call.")] = 16,
    dry_run: DryRun = False,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Check that TensorRT takes a bundle's graph, build the engine and put it into the bundle.

    tensorrt builds on the device that the engine is for; elsewhere the command prints what to type there and ends in
    exit code 5. tensorrt-rtx builds ahead of time on any machine. A graph that breaks a rule ends in exit code 4.

    Example: last-edge engine runs/shrec14/bundle --flavour tensorrt-rtx
    """
    from last_edge.export.targets.tensorrt import build_engine, on_device, plan_engine, why_not

    plan: Plan = plan_engine(bundle, flavour=flavour, precision=precision, most=max_batch, force=force)
    about = {"engine": plan.target, "source": plan.source, "checked": plan.checked}
    if dry_run or why_not(plan.backend):
        screen.emit({**about, "built": False, "on the device": on_device(plan)})
        if dry_run:
            return
    manifest = build_engine(plan)
    size = len(type(plan.bundle).open(bundle).read(plan.target))
    screen.emit({**about, "built": True, "bytes": size, **manifest.engines[plan.target]})
