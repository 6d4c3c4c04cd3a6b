"""`last-edge folds`: one training for each person left out, and the table of them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.errors import InputError
from last_edge.tools.cli import options
from last_edge.tools.cli.data_commands import names_of
from last_edge.tools.cli.output import cell_progress, emit, make_table, markdown
from last_edge.tools.cli.train_preview import resolve_recipe

if TYPE_CHECKING:
    from last_edge.tools.experiments.folds import Folds, Train

Subjects = Annotated[
    str | None, typer.Option("--subjects", help="Leave these out in turn, comma between; all others always train.")
]
Seeds = Annotated[str | None, typer.Option("--seeds", metavar="0,1,2", help="Default: the recipe's one.")]
Pairs = Annotated[
    int, typer.Option("--pairs", min=0, help="To choose settings: leave each out with each of the next N in a circle.")
]
Teacher = Annotated[
    Path | None,
    typer.Option("--teacher", help="OUT of earlier folds: each fold is distilled from that fold's runs there."),
]


def folds(
    store: options.Store,
    out: options.Out,
    model: options.ModelName = None,
    recipe: options.RecipeName = None,
    subjects: Subjects = None,
    seeds: Seeds = None,
    pairs: Pairs = 0,
    teacher: Teacher = None,
    set_: options.Set = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train once for each subject left out and test on that one: mean and spread over people.

    OUT/SUBJECT/store is the store with that subject as its test split (the points are linked, not copied), and
    OUT/SUBJECT/seed_N a run like any other, for eval, export and the rest. The table is OUT/folds.md and .json. The
    same command goes on after an interruption.

    With --pairs 1 or more settings can be chosen without a look at a fold's own clips: SUBJECT's row is the mean over
    the runs that left SUBJECT and one more out, each measured on that other one.

    With --teacher the students learn from runs that left the same people out: as `distill` with these, every seed's.

    Example: last-edge folds --model last_lite_nano --recipe words --store runs/words/store --out runs/words/lite
    """
    wanted = _folds(store, out, model, recipe, subjects, seeds, pairs, set_, device=device, threads=threads)
    learn = _from_teachers(wanted, teacher) if teacher else None
    if dry_run:
        emit(_preview(wanted), as_json=json)
        return
    from last_edge.tools.experiments.folds import plainly, summary, train_folds

    with cell_progress(quiet=quiet or json) as report:
        rows = train_folds(wanted, report=report, train=learn or plainly)
    result = _facts(wanted) | {"rows": rows, "summary": summary(rows)}
    _write(result, out / "folds")
    emit(result, as_json=json, table=lambda: make_table(_title(result), _columns(result)))


def _folds(
    store: Path, out: Path, model: str | None, recipe: str | None, subjects: str | None, seeds: str | None,
    pairs: int, sets: list[str] | None, *, device: str, threads: int,
) -> Folds:  # fmt: skip
    import torch

    from last_edge.tools.experiments.folds import Folds
    from last_edge.train.device import resolve_device

    if threads:
        torch.set_num_threads(threads)
    resolved = resolve_recipe(recipe, model, None, sets)
    chosen = options.seeds_of(seeds) or (resolved.seed,)
    return Folds(resolved, store, out, names_of(subjects), chosen, pairs, resolve_device(device))


def _from_teachers(folds: Folds, teacher: Path) -> Train:
    """Distillation of each fold from the finished runs of the same fold below `teacher`; `InputError` without any."""
    from last_edge.distill.run import run_distillation
    from last_edge.train.run_folder import FINAL

    names = [folds.folder(fold).name for fold in folds.folds]
    runs = {name: sorted(final.parent for final in (teacher / name).glob(f"seed_*/{FINAL}")) for name in names}
    for name, found in runs.items():
        if not found:
            hint = "last-edge folds with the same --subjects and --pairs makes the teachers"
            raise InputError("no teacher for this fold", where=teacher / name, expected=f"seed_*/{FINAL}", hint=hint)
    return lambda request, fold, report: run_distillation(request, runs[fold], report=report)


def _preview(folds: Folds) -> dict[str, Any]:
    return {
        "runs": len(folds.folds) * len(folds.seeds),
        "left out": ", ".join(" and ".join(fold) for fold in folds.folds),
        "seeds": list(folds.seeds),
        "model": folds.recipe.model.name,
        "epochs": folds.recipe.training.epochs,
    }


def _facts(folds: Folds) -> dict[str, Any]:
    """What the table stands on."""
    from last_edge.train.environment import describe_environment

    return {
        "schema_version": 1,
        "kind": "folds",
        "model": folds.recipe.model.name,
        "pairs": folds.pairs,
        "seeds": list(folds.seeds),
        "dataset": folds.opened.about.get("dataset", folds.store.name),
        "store_sha256": folds.opened.sha256,
        "environment": describe_environment(),
    }


def _title(result: dict[str, Any]) -> str:
    figures = result["summary"]
    spread = f"{figures['mean']:.2f} ± {figures['std']:.2f}, {figures['least']:.2f} to {figures['greatest']:.2f}"
    return f"{result['model']}, top-1 % over people: {spread}"


def _columns(result: dict[str, Any]) -> dict[str, list[Any]]:
    rows = result["rows"]
    first = "all but, and without" if result["pairs"] else "left out"
    columns: dict[str, list[Any]] = {first: [row["subject"] for row in rows], "clips": [row["clips"] for row in rows]}
    columns["top-1 %"] = [f"{row['top1']:.2f}" for row in rows]
    columns["each"] = [_each(row["each"]) for row in rows]
    return columns


def _each(each: Any) -> str:
    if isinstance(each, dict):
        return ", ".join(f"{name} {sum(values) / len(values):.2f}" for name, values in each.items())
    return ", ".join(f"{value:.2f}" for value in each)


def _write(result: dict[str, Any], base: Path) -> None:
    from last_edge.files import write_text
    from last_edge.train.checkpoint import as_json

    command = shlex.join(["last-edge", *sys.argv[1:]])
    seeds = ", ".join(map(str, result["seeds"]))
    facts = f"Seeds {seeds}, store sha256 {result['store_sha256'][:12]}. Made by `{command}`."
    write_text(base.with_suffix(".json"), as_json(result))
    write_text(base.with_suffix(".md"), f"{_title(result)}\n\n{markdown(_columns(result))}\n{facts}\n")
