"""`last-edge quantize`: an 8-bit file for a bundle, or the variants of one side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.errors import UsageError
from last_edge.tools.cli import options
from last_edge.tools.cli.output import emit, make_table, stderr
from last_edge.tools.cli.translate_command import is_translator, quantize_translator, refuse

if TYPE_CHECKING:
    from last_edge.clips.store import ClipStore
    from last_edge.export.int8.quantize_bundle import Plan
    from last_edge.tasks.config import QuantizeConfig

AUTO = "auto"
Method = Annotated[str | None, typer.Option("--method", help="minmax, percentile or entropy; default: the recipe's.")]
Share = Annotated[float | None, typer.Option("--percentile", help="With that method: percent of values inside.")]
Clips = Annotated[int | None, typer.Option("--clips", min=1, help="Most calibration clips, drawn by class.")]
KeepFloat = Annotated[
    list[str] | None,
    typer.Option("--keep-float", help="Node of the FP32 graph, repeatable; auto: the most sensitive that fit."),
]
Budget = Annotated[float, typer.Option("--latency-budget", min=1.0, help="With auto: times the all-INT8 latency.")]
Target = Annotated[str, typer.Option("--target", help="cpu-vnni, arm64, tensorrt or web.")]
Run = Annotated[Path | None, typer.Option("--run", help="The bundle's run: its held-out people judge choices.")]
Qat = Annotated[bool, typer.Option("--qat", help="Train the rounded weights on the train split.")]
Teacher = Annotated[Path | None, typer.Option("--teacher", help="With --qat: a bundle that teaches; default: itself.")]
Epochs = Annotated[int, typer.Option("--epochs", min=1, help="Of --qat.")]
Compare = Annotated[bool, typer.Option("--compare", help="Only a table of variants; writes nothing but --out.")]
Table = Annotated[Path | None, typer.Option("--out", help="With --compare: a Markdown file for the table.")]


def quantize(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder or .last file.")],
    store: options.Store,
    recipe: options.RecipeName = None,
    set_: options.Set = None,
    target: Target = "cpu-vnni",
    method: Method = None,
    percentile: Share = None,
    clips: Clips = None,
    keep_float: KeepFloat = None,
    latency_budget: Budget = 1.1,
    qat: Qat = False,
    teacher: Teacher = None,
    epochs: Epochs = 3,
    run: Run = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the clips and, without --run, the judges.")] = 0,
    split: Annotated[str, typer.Option("--split", help="Split to measure on.")] = "test",
    compare: Compare = False,
    out: Table = None,
    threads: options.Threads = 1,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Add a static INT8 graph to a bundle, ranges from its store's training split, and measure both graphs.

    Ends in exit code 4, with the table, and leaves the bundle as it was, when accuracy, agreement, worst class, size or
    speed miss the recipe's limits (`quantize.*`). What is chosen, is chosen on people of the training split.
    A translator gets an INT8 encoder and, if it passes too, decoder, held to the limits on sentences of the val split.

    Example: last-edge quantize runs/shrec14/bundle --store runs/shrec14/store
    """
    from last_edge.clips.store import ClipStore
    from last_edge.export.int8.quantize_bundle import preview_quantize, quantize_bundle
    from last_edge.train.recipe import load_recipe

    changes = _changes(set_, method=method, percentile=percentile, clips=clips)
    limits = load_recipe(recipe, overrides=changes).quantize
    if percentile is not None and limits.method != "percentile":
        raise UsageError("--percentile is of --method percentile", got=limits.method, hint="--method percentile")
    plan = _plan(limits, target=target, keep_float=keep_float, budget=latency_budget, run=run, seed=seed)
    plan = _with_training(plan, qat=qat, teacher=teacher, epochs=epochs)
    opened = ClipStore.open(store)
    if bundle.exists() and is_translator(bundle):
        refuse({"--compare": compare, "--out": out is not None})
        made = quantize_translator(bundle, opened, plan, split=split, threads=threads, dry_run=dry_run, force=force)
        _show_translator(made, bundle, json=json)
        return
    if compare:
        _compare(bundle, opened, plan, out=out, threads=threads, force=force, dry_run=dry_run, json=json)
        return
    if dry_run:
        emit(preview_quantize(bundle, opened, plan, split=split, force=force), as_json=json)
        return
    made = quantize_bundle(
        bundle, opened, plan, split=split, threads=threads, force=force,
        report=lambda name, rows: None if quiet else stderr().print(_table(name, rows)),
    )  # fmt: skip
    _show(made, bundle, json=json)


def _changes(given: list[str] | None, **flags: Any) -> list[str]:
    """--set values and this command's own flags, which win, as changes to a recipe."""
    return [*(given or []), *(f"quantize.{name}={value}" for name, value in flags.items() if value is not None)]


def _plan(
    limits: QuantizeConfig, *, target: str, keep_float: list[str] | None, budget: float, run: Path | None, seed: int
) -> Plan:
    from last_edge.export.int8.quantize import QuantizeOptions
    from last_edge.export.int8.quantize_bundle import Plan

    named = tuple(name for name in keep_float or () if name != AUTO)
    chosen = QuantizeOptions.from_recipe(limits, keep_float=named, target=target)
    searched = budget if AUTO in (keep_float or ()) else None
    return Plan(chosen, count=limits.clips, seed=seed, run=run, search_budget=searched, gates=limits)


def _with_training(plan: Plan, *, qat: bool, teacher: Path | None, epochs: int) -> Plan:
    import dataclasses

    from last_edge.export.int8.qat import QatOptions

    if teacher is not None and not qat:
        raise UsageError("--teacher teaches in training alone", hint="--qat")
    return dataclasses.replace(plan, qat=QatOptions(epochs=epochs, seed=plan.seed), teacher=teacher) if qat else plan


def _compare(
    bundle: Path,
    store: ClipStore,
    plan: Plan,
    *,
    out: Path | None,
    threads: int,
    force: bool,
    dry_run: bool,
    json: bool,
) -> None:
    """The table of variants, on the screen and, with --out, in a file with the command that made it."""
    from last_edge.export.int8.selection import compare_bundle, markdown
    from last_edge.files import check_free, write_text

    if out is not None:
        check_free(out, force=force)
    if dry_run:
        from last_edge.export.int8.selection import METHODS

        emit({"variants": f"{len(METHODS)} or {len(METHODS) + 1}", "would_write": str(out or "nothing")}, as_json=json)
        return
    compared = compare_bundle(
        bundle, store, plan.options, count=plan.count, seed=plan.seed, run=plan.run, threads=threads,
        report=lambda row: stderr().print(row),
    )  # fmt: skip
    if out is not None:
        write_text(out, markdown(compared))
    title = f"{bundle.name}: {compared.judging} clips of {', '.join(compared.subjects) or 'the val split'} judge"
    emit({"rows": compared.rows}, as_json=json, table=lambda: _table(title, compared.rows))


def _show(made: Any, path: Path, *, json: bool) -> None:
    """The bundle's figures and its gates."""
    from last_edge import records

    gates = [gate.row() for gate in made.gates]
    if json:
        said = {"bundle": str(path), "manifest": records.to_dict(made.manifest), "gates": gates, "tables": made.tables}
        emit(said, as_json=True)
        return
    figures = made.manifest.metrics
    rows = [{"precision": name, **figures.get(name, {})} for name in made.manifest.precisions or figures]
    shown = [{name: value for name, value in row.items() if name != "store_sha256"} for row in rows]
    emit({}, as_json=False, table=lambda: _table(str(path), shown))
    emit({}, as_json=False, table=lambda: _table("gates", gates))


def _show_translator(made: Any, path: Path, *, json: bool) -> None:
    """What was made of a translator, or what would be."""
    if isinstance(made, dict):
        emit(made, as_json=json)
        return
    if not json:
        emit({}, as_json=False, table=lambda: _table("held by the judges", made.tables["candidates"]))
    _show(made, path, json=json)


def _table(title: str, rows: list[dict[str, Any]]) -> Any:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return make_table(title, {name: [_cell(row.get(name, "")) for row in rows] for name in names})


def _cell(value: Any) -> str:
    return ("ok" if value else "FAILED") if isinstance(value, bool) else str(value)
