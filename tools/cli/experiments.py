"""`last-edge folds | ablate | seeds | probe`: many trainings, or many runs, and the table of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from last_edge import records
from last_edge.errors import InputError, UsageError
from last_edge.files import write_text
from last_edge.tools.cli import options as opt
from last_edge.tools.cli.training import Flags, choose
from last_edge.tools.output import difference, make_table, markdown

if TYPE_CHECKING:
    from last_edge.tools.experiments.ablation import Ablation
    from last_edge.tools.experiments.folds import Folds, Train

FEWEST_SEEDS = 3
Runs = Annotated[list[Path], Argument(help="Runs of `train` or `distill`.")]
PlanName = Annotated[
    str,
    Option(
        "--plan",
        help="A YAML file, or of the shipped plans ablation_demo, ablation_kd, ablation_shrec28, class_weights, "
        "dropout_sweep.",
    ),
]


def folds(
    out: opt.Out,
    flags: Flags,
    subjects: Annotated[str | None, Option(help="Comma-separated: left out in turn; others always train.")] = None,
    seeds: opt.Seeds = None,
    pairs: Annotated[int, Option(min=0, help="To choose settings: leave out each with each of the next N.")] = 0,
    groups: Annotated[int, Option(min=0, help="Leave out N groups of people instead of each person.")] = 0,
    teacher: Annotated[
        Path | None, Option(help="OUT of earlier folds: each fold is distilled from that fold's runs there.")
    ] = None,
    dry_run: opt.DryRun = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Train once for each subject left out and test on that one: mean and spread over people.

    OUT/SUBJECT/store is the store with that subject as its test split (the points are linked, not copied), and
    OUT/SUBJECT/seed_N a run like any other, for eval, export and the rest. The table is OUT/folds.md and .json. The
    same command goes on after an interruption.

    With --pairs 1 or more settings can be chosen without a look at a fold's own clips: SUBJECT's row is the mean over
    the runs that left SUBJECT and one more out, each measured on that other one.

    With --groups N everybody is in one of N groups that share each label evenly, OUT/group_1 to OUT/group_N.

    With --teacher the students learn from runs that left the same people out: as `distill` with these, every seed's.

    Example: last-edge folds --model last_lite_nano --recipe words --store runs/words/store --out runs/words/lite
    """
    from last_edge.tools.experiments.folds import Folds, plainly, pooled, summary, train_folds
    from last_edge.train.environment import describe_environment

    request = choose(flags, out=out).request(force=False)
    recipe, chosen = request.recipe, opt.seeds_of(seeds) or (request.recipe.seed,)
    wanted = Folds(recipe, request.store, out, opt.names_of(subjects), chosen, pairs, groups, request.device)
    learn = from_teachers(wanted, teacher) if teacher else plainly
    if dry_run:
        people = ", ".join(" and ".join(fold) for fold in wanted.folds)
        about = {"seeds": list(chosen), "model": recipe.model.name, "epochs": recipe.training.epochs}
        screen.emit({"runs": len(wanted.folds) * len(chosen), "left out": people, **about})
        return
    with screen.cells() as report:
        rows = train_folds(wanted, report=report, train=learn)
    figures, clips = summary(rows), {} if pairs else pooled(wanted)
    result = {
        "schema_version": 1, "kind": "folds", "model": recipe.model.name, "pairs": pairs, "seeds": list(chosen),
        "dataset": wanted.opened.about.get("dataset", request.store.name), "store_sha256": wanted.opened.sha256,
        "environment": describe_environment(), "rows": rows, "summary": figures, "pooled": clips,
    }  # fmt: skip
    spread = f"{figures['mean']:.2f} ± {figures['std']:.2f}, {figures['least']:.2f} to {figures['greatest']:.2f}"
    over = f"{groups} groups of people" if groups else "people"
    title, columns = f"{recipe.model.name}, top-1 % over {over}: {spread}", fold_columns(rows, pairs=bool(pairs))
    by_class = class_columns(clips) if clips else {}
    if clips:
        title += f"; of all {clips['n']} clips {clips['top1']:.2f}, mean over classes {clips['mean_class']:.2f}"
    about_seeds = f"Seeds {', '.join(map(str, chosen))}, store sha256 {wanted.opened.sha256[:12]}."
    tables = "\n".join(markdown(table) for table in (columns, by_class) if table)
    page = f"{title}\n\n{tables}\n{about_seeds} Made by `{opt.command_line('folds')}`.\n"
    records.write_json(out / "folds.json", result)
    write_text(out / "folds.md", page)
    screen.emit(result, table=lambda: make_table(title, columns))


def from_teachers(folds: Folds, teacher: Path) -> Train:
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


def fold_columns(rows: list[dict[str, Any]], *, pairs: bool) -> dict[str, list[Any]]:
    """A row a person left out."""

    def each(values: Any) -> str:
        if isinstance(values, dict):
            return ", ".join(f"{name} {sum(own) / len(own):.2f}" for name, own in values.items())
        return ", ".join(f"{value:.2f}" for value in values)

    return {
        "all but, and without" if pairs else "left out": [row["subject"] for row in rows],
        "clips": [row["clips"] for row in rows],
        "top-1 %": [f"{row['top1']:.2f}" for row in rows],
        "each": [each(row["each"]) for row in rows],
    }


def class_columns(clips: dict[str, Any]) -> dict[str, list[Any]]:
    """A row a label, of `pooled`, and how many people are below two thirds."""
    few = sum(top1 < 100 * 2 / 3 for top1 in clips["people"].values())
    classes = clips["classes"]
    return {
        "label": [*classes, f"people of {len(clips['people'])} below two thirds"],
        "clips": [*(row["clips"] for row in classes.values()), ""],
        "top-1 %": [*(f"{row['top1']:.2f}" for row in classes.values()), few],
    }


def ablate(
    plan: PlanName,
    out: opt.Out,
    flags: Flags,
    final: Annotated[str | None, Option(metavar="CELL", help="Test this cell and the baseline.")] = None,
    cell: Annotated[list[str] | None, Option(help="Do this cell and the baseline; repeatable.")] = None,
    seeds: opt.Seeds = None,
    use: Annotated[
        list[str] | None, Option(metavar="NAME=RUN", help="A finished run, as preparation; repeatable.")
    ] = None,
    dry_run: opt.DryRun = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Train every cell of a plan with every seed and put them into one table, on the validation subjects.

    Each cell is a normal run below OUT; what is finished is not repeated, and the same command goes on after an
    interruption. The table is OUT/ablation.md and .json: mean and spread over seeds, and the paired difference to the
    baseline with its interval. It knows no test figure. --final CELL, once the choice is made, tests that cell and the
    baseline with at least three seeds, into OUT/final_CELL.md and .json. Flags and --set win over plan and cells.

    Example: last-edge ablate --plan ablation_kd --store runs/shrec14/store --out runs/shrec14/ablation
    """
    ablation = planned(plan, out, flags, seeds=opt.seeds_of(seeds), use=use or [])
    if final is not None and len(ablation.seeds) < FEWEST_SEEDS:
        got, hint = ablation.seeds, "--seeds 0,1,2"
        raise UsageError("a final test needs more seeds", expected=f">= {FEWEST_SEEDS}", got=got, hint=hint)
    ablation = dataclasses.replace(ablation, only=(final,) if final is not None else tuple(cell or ()))
    if dry_run:
        screen.emit(preview_ablation(ablation))
        return
    from last_edge.tools.experiments import ablation_table as tables
    from last_edge.tools.experiments.ablation import do

    known = tables.Answers(ablation, "val" if final is None else "test")
    base = out / ("ablation" if final is None else f"final_{final}")

    def keep() -> tables.Table:
        table = tables.make_table(known, names=known.cells() if final is None else list(ablation.cells))
        tables.write_table(table, base)
        return table

    with screen.cells() as report:
        do(ablation, report=report, on_cell=(lambda: None) if final else keep)
    made = keep()
    screen.emit(made, table=lambda: make_table(f"top-1 on {made['split']}", tables.columns(made)))


def planned(plan: str, out: Path, flags: Flags, *, seeds: tuple[int, ...], use: list[str]) -> Ablation:
    """A plan on a store, with what the flags say above every cell and what the environment says below them."""
    from last_edge.tools.experiments.ablation import Ablation, load_plan

    used = {}
    for text in use:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise UsageError("--use needs NAME=RUN", got=text, hint="--use teacher=runs/shrec14/teacher")
        used[name] = Path(path)
    loaded = load_plan(plan)
    choice = choose(flags, out=out, recipe=loaded.recipe)
    request = choice.request(force=False)
    return Ablation(
        loaded, request.store, out, seeds=seeds or loaded.seeds, model=flags.model,
        sets=tuple(dataclasses.replace(flags, model=None).typed(choice.profile)),
        below=tuple(choice.profile.overrides(choice.recipe.training.optimizer)), use=used, device=request.device,
    )  # fmt: skip


def preview_ablation(ablation: Ablation) -> dict[str, Any]:
    """Every run, whether it is done, and who is held out."""
    from last_edge.tools.experiments.ablation import check_used, clips_of, is_done

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


def seeds(
    runs: Runs,
    store: opt.Store,
    split: opt.Split = "test",
    merge_at: opt.MergeAt = "",
    paired: Annotated[bool, Option("--paired", help="Compare each row with the first, by clip and by seed.")] = False,
    threads: opt.Threads = 1,
    out: opt.OutFile = None,
    force: opt.Force = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Measure runs and put those that differ in nothing but the seed into one row: mean, spread, each seed's figure.

    Example: last-edge seeds runs/nano_* --store runs/shrec28/store --merge-at ', ' --out docs/results/shrec17.md
    """
    from last_edge.clips.store import ClipStore
    from last_edge.tools.experiments.seeds import seeds_table

    opt.check_out(out, force=force)
    opt.torch_threads(max(threads, 1))
    opened = ClipStore.open(store)
    rows = seeds_table(runs, opened, split=split, merge_at=merge_at, paired=paired)
    scores = {"top1": f"{len(opened.labels)} classes"}
    if merge_at:
        scores["merged"] = f"{rows[0]['merged_classes']} merged"
    columns = {key: [row[key] for row in rows] for key in ("model", "parameters", "epochs", "frames", "seeds")}
    for key, title in scores.items():
        spreads = ["" if row[f"{key}_sd"] is None else f" ± {row[f'{key}_sd']:.2f}" for row in rows]
        columns[f"{title}, mean ± sd"] = [f"{row[key]:.2f}{sd}" for row, sd in zip(rows, spreads, strict=True)]
        columns[f"{title}, each"] = [", ".join(f"{value:.2f}" for value in row[f"{key}_each"]) for row in rows]
        if f"{key}_difference" in rows[0]:
            columns[f"{title}, above the first row"] = [difference(row[f"{key}_difference"]) for row in rows]
    columns["runs"] = [row["runs"] for row in rows]
    if out is not None:
        facts = f"{len(opened.select(split=split))} {split} clips, store sha256 {opened.sha256[:12]}"
        made = f"Top-1 in percent on {facts}. Made by `{opt.command_line('seeds')}`."
        write_text(out, f"{markdown(columns)}\n{made}\n")
    screen.emit(rows, table=lambda: make_table(f"top-1 % on {split}", columns))


def probe(
    run: Annotated[Path, Argument(metavar="RUN", help="A finished run, of `pretrain` as a rule.")],
    flags: Flags,
    labels: Annotated[str, Option(help="Shares of the labelled training clips.")] = "0.1,1.0",
    seeds: opt.Seeds = "0,1,2",
    split: Annotated[Literal["val", "test"], Option(help="What is measured on.")] = "val",
    out: Annotated[Path | None, Option(help="Where the trainings go; default: RUN_probe.")] = None,
    dry_run: opt.DryRun = False,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Measure a pre-trained trunk: a linear probe, and fine-tuning against the same training from scratch.

    Each is done with shares of the labels, drawn by class and seed, and compared on the validation subjects; the test
    split is looked at with --split test alone. The same command goes on after an interruption and repeats nothing that
    is done. The table is printed and kept in OUT/probe.SPLIT.json.

    Example: last-edge probe runs/shrec14/pretrained --store runs/shrec14/store --labels 0.1,1.0
    """
    from last_edge.clips.store import ClipStore
    from last_edge.tools.experiments.probe import WAYS, ProbeRequest, probe_recipe, run_probe
    from last_edge.train.recipe import dump_recipe

    try:
        shares = [float(part) for part in labels.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(0 < share <= 1 for share in shares):
        raise UsageError("--labels needs shares above 0, up to 1", got=labels, hint="--labels 0.1,1.0")
    if flags.model is not None or flags.init is not None:
        raise UsageError(
            "the run decides model and start", got=flags.model or flags.init, hint="last-edge probe --help"
        )
    folder = out or run.with_name(f"{run.name}_probe")
    request = choose(flags, out=folder, recipe="probe").request(force=False)
    recipe = probe_recipe(run, ClipStore.open(request.store), request.recipe, split=split)
    chosen = list(opt.seeds_of(seeds))
    asked = ProbeRequest(run, request.store, folder, recipe, shares, chosen, split, request.device)
    if dry_run:
        lines = "".join(f"\n  {line}" for line in dump_recipe(recipe).splitlines())
        about = {"trainings": 2 * len(shares) * len(chosen), "out": str(folder), "split": split}
        screen.emit({**about, "val_subjects": recipe.validation.subjects, "recipe": lines})
        return
    with screen.cells() as report:
        table = run_probe(asked, report=report)
    records.write_json(folder / f"probe.{split}.json", table)
    columns: dict[str, list[str]] = {"top-1 %": [*WAYS.values(), "fine-tuned minus scratch, 95% interval"]}
    for cell in table["cells"]:
        figures = [f"{cell['ways'][way]['mean']:.2f} ± {cell['ways'][way]['std']:.2f}" for way in WAYS]
        columns[f"{cell['labels']:.0%} of labels"] = [*figures, difference(cell["finetune_minus_scratch"])]
    title = f"{table['model']}, {table['clips']} {table['split']} clips, {len(table['seeds'])} seeds"
    screen.emit(table, table=lambda: make_table(title, columns))
