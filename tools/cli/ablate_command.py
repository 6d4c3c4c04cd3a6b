"""`last-edge ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.errors import UsageError
from last_edge.tools.cli import options
from last_edge.tools.cli.output import cell_progress, emit, make_table

if TYPE_CHECKING:
    from last_edge.tools.experiments.ablate.run import Ablation

FEWEST_SEEDS = 3
PlanName = Annotated[
    str,
    typer.Option(
        "--plan",
        help="A YAML file, or of the shipped plans ablation_demo, ablation_kd, ablation_shrec28, class_weights, "
        "dropout_sweep.",
    ),
]
Final = Annotated[str | None, typer.Option("--final", metavar="CELL", help="Test this cell and the baseline.")]
Only = Annotated[list[str] | None, typer.Option("--cell", help="Do this cell and the baseline; repeatable.")]
Seeds = Annotated[str | None, typer.Option("--seeds", metavar="0,1,2", help="In place of the plan's.")]
Use = Annotated[
    list[str] | None, typer.Option("--use", metavar="NAME=RUN", help="A finished run for a preparation; repeatable.")
]


def ablate(
    plan: PlanName,
    store: options.Store,
    out: options.Out,
    final: Final = None,
    cell: Only = None,
    seeds: Seeds = None,
    model: options.ModelName = None,
    use: Use = None,
    set_: options.Set = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train every cell of a plan with every seed and put them into one table, on the validation subjects.

    Each cell is a normal run below OUT; what is finished is not repeated, and the same command goes on after an
    interruption. The table is OUT/ablation.md and .json: mean and spread over seeds, and the paired difference to the
    baseline with its interval. It knows no test figure. --final CELL, once the choice is made, tests that cell and the
    baseline with at least three seeds, into OUT/final_CELL.md and .json.

    Example: last-edge ablate --plan ablation_kd --store runs/shrec14/store --out runs/shrec14/ablation
    """
    ablation = _ablation(plan, store, out, seeds=seeds, model=model, use=use, sets=set_, device=device, threads=threads)
    ablation = _narrowed(ablation, cells=cell, final=final)
    if dry_run:
        emit(_preview(ablation), as_json=json)
        return
    from last_edge.tools.experiments.ablate import table as tables
    from last_edge.tools.experiments.ablate.run import do

    known = tables.Answers(ablation, "val" if final is None else "test")
    base = out / ("ablation" if final is None else f"final_{final}")

    def keep() -> tables.Table:
        table = tables.make_table(known, names=known.cells() if final is None else list(ablation.cells))
        tables.write_table(table, base)
        return table

    with cell_progress(quiet=quiet or json) as report:
        do(ablation, report=report, on_cell=(lambda: None) if final else keep)
    made = keep()
    emit(made, as_json=json, table=lambda: make_table(f"top-1 on {made['split']}", tables.columns(made)))


def _ablation(
    plan: str, store: Path, out: Path, *, seeds: str | None, model: str | None, use: list[str] | None,
    sets: list[str] | None, device: str, threads: int,
) -> Ablation:  # fmt: skip
    import torch

    from last_edge.tools.experiments.ablate.plan import load_plan
    from last_edge.tools.experiments.ablate.run import Ablation
    from last_edge.train.device import resolve_device

    if threads:
        torch.set_num_threads(threads)
    loaded = load_plan(plan)
    return Ablation(
        loaded, store, out, seeds=options.seeds_of(seeds) or loaded.seeds, model=model, sets=tuple(sets or ()),
        use=dict(_used(text) for text in use or ()), device=resolve_device(device),
    )  # fmt: skip


def _narrowed(ablation: Ablation, *, cells: list[str] | None, final: str | None) -> Ablation:
    """The ablation with the cells that were asked for; `UsageError` for a test of too few seeds."""
    import dataclasses

    if final is not None and len(ablation.seeds) < FEWEST_SEEDS:
        got, hint = ablation.seeds, "--seeds 0,1,2"
        raise UsageError("a final test needs more seeds", expected=f">= {FEWEST_SEEDS}", got=got, hint=hint)
    only = (final,) if final is not None else tuple(cells or ())
    narrowed = dataclasses.replace(ablation, only=only)
    return narrowed if narrowed.cells else ablation


def _used(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise UsageError("--use needs NAME=RUN", got=text, hint="--use teacher=runs/shrec14/teacher")
    return name, Path(path)


def _preview(ablation: Ablation) -> dict[str, Any]:
    """Every run, whether it is done, and who is held out."""
    from last_edge.tools.experiments.ablate.run import check_used, clips_of, is_done

    check_used(ablation)
    runs = list(ablation.runs())
    for _, cell, _, seed in runs:
        ablation.recipe(cell, seed=seed)
    done = {str(out): "done" if is_done(out) else "to do" for _, _, out, _ in runs}
    return {
        "cells": ", ".join(ablation.cells),
        "seeds": list(ablation.seeds),
        "val_subjects": ablation.val_subjects,
        "clips": len(clips_of(ablation, "val")),
        "runs": len(runs),
        "to_do": sum(state == "to do" for state in done.values()),
        **done,
    }
