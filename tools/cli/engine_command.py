"""`last-edge engine`: a TensorRT engine from a bundle's graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from last_edge.tools.cli import options
from last_edge.tools.cli.output import emit

if TYPE_CHECKING:
    from last_edge.export.targets.tensorrt import Plan

Flavour = Literal["tensorrt", "tensorrt-rtx"]
WhichFlavour = Annotated[Flavour, typer.Option("--flavour", help="For Jetson and data-centre cards, or RTX cards.")]
WhichPrecision = Annotated[
    str | None,
    typer.Option("--precision", help="Of the graph. Default: int8-tensorrt where the bundle has it, else fp32."),
]
Most = Annotated[int, typer.Option("--max-batch", min=1, help="Most clips in one call.")]


def engine(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder or .last file.")],
    flavour: WhichFlavour = "tensorrt",
    precision: WhichPrecision = None,
    max_batch: Most = 16,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Check that TensorRT takes a bundle's graph, build the engine and put it into the bundle.

    tensorrt builds on the device that the engine is for; elsewhere the command prints what to type there and ends in
    exit code 5. tensorrt-rtx builds ahead of time on any machine. A graph that breaks a rule ends in exit code 4.

    Example: last-edge engine runs/shrec14/bundle --flavour tensorrt-rtx
    """
    from last_edge.export.targets.tensorrt import build_engine, plan_engine, why_not

    plan = plan_engine(bundle, flavour=flavour, precision=precision, most=max_batch, force=force)
    if dry_run or why_not(plan.backend):
        emit(_described(plan, built=False), as_json=json)
        if dry_run:
            return
    manifest = build_engine(plan)
    size = len(type(plan.bundle).open(bundle).read(plan.target))
    emit({**_described(plan, built=True), "bytes": size, **manifest.engines[plan.target]}, as_json=json)


def _described(plan: Plan, *, built: bool) -> dict[str, Any]:
    """What was or would be built; and where nothing is built, what to type on the device."""
    from last_edge.export.targets.tensorrt import on_device

    said: dict[str, Any] = {"engine": plan.target, "source": plan.source, "checked": plan.checked, "built": built}
    return said if built else {**said, "on the device": on_device(plan)}
