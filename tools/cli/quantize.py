"""`last-edge quantize`: an 8-bit file for a bundle, or the variants of one side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from last_edge.errors import UsageError
from last_edge.tools.cli.export import show_bundle
from last_edge.tools.cli.options import (
    SCREEN,
    BundlePath,
    DryRun,
    Force,
    More,
    RecipeName,
    Screen,
    Seed,
    Set,
    Split,
    Store,
    Threads,
    check_out,
    in_zoo,
)
from last_edge.tools.output import rows_table, stderr

if TYPE_CHECKING:
    from last_edge.clips.store import ClipStore
    from last_edge.export.int8.plan import Plan

KeepFloat = Annotated[
    list[str] | None,
    typer.Option("--keep-float", help="Node of the FP32 graph, repeatable; auto: the most sensitive that fit."),
]


def quantize(
    bundle: BundlePath,
    store: Store,
    more: More = None,
    recipe: RecipeName = None,
    set_: Set = None,
    target: Annotated[str, typer.Option("--target", help="cpu-vnni, arm64, tensorrt or web.")] = "cpu-vnni",
    method: Annotated[
        str | None, typer.Option("--method", help="minmax, percentile or entropy; default: the recipe's.")
    ] = None,
    percentile: Annotated[
        float | None, typer.Option("--percentile", help="With that method: percent of values inside.")
    ] = None,
    clips: Annotated[int | None, typer.Option("--clips", min=1, help="Most calibration clips, drawn by class.")] = None,
    keep_float: KeepFloat = None,
    latency_budget: Annotated[
        float, typer.Option("--latency-budget", min=1.0, help="With auto: times the all-INT8 latency.")
    ] = 1.1,
    qat: Annotated[bool, typer.Option("--qat", help="Train the rounded weights on the train split.")] = False,
    teacher: Annotated[
        Path | None,
        typer.Option("--teacher", callback=in_zoo, help="With --qat: a bundle that teaches; default: itself."),
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Of --qat.")] = 3,
    run: Annotated[
        Path | None, typer.Option("--run", help="The bundle's run: its held-out people judge choices.")
    ] = None,
    seed: Seed = 0,
    split: Split = "test",
    compare: Annotated[
        bool, typer.Option("--compare", help="Only a table of variants; writes nothing but --out.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="With --compare: a Markdown file for the table.")] = None,
    threads: Threads = 1,
    dry_run: DryRun = False,
    force: Force = False,
    screen: Screen = SCREEN,
) -> None:
    """Add a static INT8 graph to a bundle, ranges from its store's training split, and measure both graphs.

    Ends in exit code 4, with the table, and leaves the bundle as it was, when accuracy, agreement, worst class, size or
    speed miss the recipe's limits (`quantize.*`). What is chosen, is chosen on people of the training split.
    A translator gets an INT8 encoder and, if it passes too, decoder, held to the limits on sentences of the val split.

    Example: last-edge quantize runs/shrec14/bundle --store runs/shrec14/store
    """
    from last_edge.clips.store import ClipStore
    from last_edge.export.int8.plan import Plan
    from last_edge.export.int8.qat import QatOptions
    from last_edge.export.int8.quantize_bundle import preview_quantize, quantize_bundle
    from last_edge.train.recipe import load_recipe

    changes = {"method": method, "percentile": percentile, "clips": clips}
    sets = [*(set_ or ()), *(more or ())]
    sets += [f"quantize.{name}={value}" for name, value in changes.items() if value is not None]
    limits = load_recipe(recipe, overrides=sets).quantize
    if percentile is not None and limits.method != "percentile":
        raise UsageError("--percentile is of --method percentile", got=limits.method, hint="--method percentile")
    plan = Plan.of(
        limits, target=target, keep_float=keep_float or (), latency_budget=latency_budget, run=run, seed=seed,
        qat=QatOptions(epochs=epochs, seed=seed) if qat else None, teacher=teacher,
    )  # fmt: skip
    opened = ClipStore.open(store)
    if compare:
        compare_variants(bundle, opened, plan, out=out, threads=threads, force=force, dry_run=dry_run, screen=screen)
        return
    if dry_run:
        screen.emit(preview_quantize(bundle, opened, plan, split=split, force=force))
        return
    made = quantize_bundle(
        bundle, opened, plan, split=split, threads=threads, force=force,
        report=lambda name, rows: None if screen.quiet else stderr().print(rows_table(name, rows)),
    )  # fmt: skip
    gates = [gate.row() for gate in made.gates]
    show_bundle(made.manifest, bundle, screen, gates=gates, tables=made.tables)
    if not screen.json:
        screen.emit({}, table=lambda: rows_table("gates", gates))


def compare_variants(
    bundle: Path, store: ClipStore, plan: Plan, *, out: Path | None, threads: int, force: bool, dry_run: bool,
    screen: Screen,
) -> None:  # fmt: skip
    """The table of variants, on the screen and, with --out, in a file with the command that made it."""
    from last_edge.export.int8.recogniser_int8 import METHODS, compare_bundle, markdown
    from last_edge.files import write_text

    check_out(out, force=force)
    if dry_run:
        screen.emit({"variants": f"{len(METHODS)} or {len(METHODS) + 1}", "would_write": str(out or "nothing")})
        return
    compared = compare_bundle(
        bundle, store, plan.options, count=plan.count, seed=plan.seed, run=plan.run, threads=threads,
        report=lambda row: stderr().print(row),
    )  # fmt: skip
    if out is not None:
        write_text(out, markdown(compared))
    title = f"{bundle.name}: {compared.judging} clips of {', '.join(compared.subjects) or 'the val split'} judge"
    screen.rows(compared.rows, title=title)
