"""`last-edge pretrain maskclr` and `last-edge probe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from last_edge.errors import UsageError
from last_edge.tools.cli import options
from last_edge.tools.cli.output import cell_progress, emit, epoch_progress, make_table
from last_edge.tools.cli.train_preview import make_request, readable, resolve_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from last_edge.tools.experiments.probe import ProbeRequest
    from last_edge.train.request import Request


def maskclr(
    store: options.Store,
    out: options.Out,
    model: options.ModelName = None,
    recipe: options.RecipeName = None,
    set_: options.Set = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Teach a trunk what movements look like, without labels: reconstruct what is hidden, tell two views from others.

    Body regions are hidden for blocks of frames; the recipe's part `pretrain` says how. The store may have labels or
    none; clips of its test split are left out, and so are the validation subjects. The same command resumes an
    interrupted run. `train --init RUN` and `distill --init RUN` start from the trunk, `probe RUN` measures it.

    Example: last-edge pretrain maskclr --model last_lite_nano --store runs/shrec14/store --out runs/shrec14/pretrained
    """
    resolved = resolve_recipe(recipe or "maskclr", model, seed, set_)
    request = make_request(store, out, resolved, device=device, threads=threads, force=force)
    if dry_run:
        emit(readable(_preview(request), json), as_json=json)
        return
    from last_edge.tasks import PRETRAINING
    from last_edge.train.processes import is_first
    from last_edge.train.run import run_training

    with epoch_progress("pretrain", quiet=quiet or json or not is_first()) as report:
        final = run_training(request, task=PRETRAINING, report=report)
    if is_first():
        emit(final if json else _summary(final, out), as_json=json)


def probe(
    run: Annotated[Path, typer.Argument(help="A finished run, of `pretrain` as a rule.")],
    store: options.Store,
    labels: Annotated[str, typer.Option("--labels", help="Shares of the labelled training clips.")] = "0.1,1.0",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings of each kind, seeds 0, 1, ...")] = 3,
    split: Annotated[Literal["val", "test"], typer.Option("--split", help="What is measured on.")] = "val",
    out: Annotated[Path | None, typer.Option("--out", help="Where the trainings go; default: RUN_probe.")] = None,
    recipe: options.RecipeName = None,
    set_: options.Set = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Measure a pre-trained trunk: a linear probe, and fine-tuning against the same training from scratch.

    Each is done with shares of the labels, drawn by class and seed, and compared on the validation subjects; the test
    split is looked at with --split test alone. The same command goes on after an interruption and repeats nothing that
    is done. The table is printed and kept in OUT/probe.SPLIT.json.

    Example: last-edge probe runs/shrec14/pretrained --store runs/shrec14/store --labels 0.1,1.0
    """
    folder = out or run.with_name(f"{run.name}_probe")
    request = _probe_request(
        run, store, folder, recipe or "probe", set_, shares=_shares(labels), seeds=range(seeds), split=split,
        device=device, threads=threads,
    )  # fmt: skip
    if dry_run:
        emit(_probe_preview(request), as_json=json)
        return
    from last_edge.files import write_text
    from last_edge.tools.experiments.probe import run_probe
    from last_edge.train.checkpoint import as_json

    with cell_progress(quiet=quiet or json) as report:
        table = run_probe(request, report=report)
    write_text(folder / f"probe.{split}.json", as_json(table))
    emit(table, as_json=json, table=lambda: _probe_table(table))


def _shares(text: str) -> list[float]:
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(0 < share <= 1 for share in shares):
        raise UsageError("--labels needs shares above 0, up to 1", got=text, hint="--labels 0.1,1.0")
    return shares


def _probe_request(
    run: Path, store: Path, out: Path, recipe: str, sets: list[str] | None, *, shares: list[float],
    seeds: Sequence[int], split: str, device: str, threads: int,
) -> ProbeRequest:  # fmt: skip
    import torch

    from last_edge.clips.store import ClipStore
    from last_edge.tools.experiments.probe import ProbeRequest, probe_recipe
    from last_edge.train.device import resolve_device

    if threads:
        torch.set_num_threads(threads)
    base = resolve_recipe(recipe, None, None, sets)
    whole = probe_recipe(run, ClipStore.open(store), base, split=split)
    return ProbeRequest(run, store, out, whole, shares, list(seeds), split, resolve_device(device))


def _probe_preview(request: ProbeRequest) -> dict[str, Any]:
    """Which trainings a probe would make, and of what."""
    from last_edge.train.recipe import dump_recipe

    recipe = "".join(f"\n  {line}" for line in dump_recipe(request.recipe).splitlines())
    return {
        "trainings": 2 * len(request.shares) * len(request.seeds),
        "out": str(request.out),
        "split": request.split,
        "val_subjects": request.recipe.validation.subjects,
        "recipe": recipe,
    }


def _probe_table(table: dict[str, Any]) -> Any:
    """Top-1 of each way, mean and standard deviation over the seeds, a column a share of the labels."""
    from last_edge.tools.experiments.probe import WAYS

    columns: dict[str, list[str]] = {"top-1 %": [*WAYS.values(), "fine-tuned minus scratch, 95% interval"]}
    for cell in table["cells"]:
        figures = [f"{cell['ways'][way]['mean']:.2f} ± {cell['ways'][way]['std']:.2f}" for way in WAYS]
        gain = cell["finetune_minus_scratch"]
        columns[f"{cell['labels']:.0%} of labels"] = [
            *figures,
            f"{gain['points']:+.2f} ({gain['low']:+.2f} to {gain['high']:+.2f})",
        ]
    title = f"{table['model']}, {table['clips']} {table['split']} clips, {len(table['seeds'])} seeds"
    return make_table(title, columns)


def _preview(request: Request) -> dict[str, Any]:
    """What a pre-training would do, its body regions and mask included."""
    from last_edge.clips.store import ClipStore
    from last_edge.tasks import PRETRAINING
    from last_edge.train.foresee import foresee

    return foresee(ClipStore.open(request.store), request.recipe, task=PRETRAINING)


def _summary(final: dict[str, Any], out: Path) -> dict[str, Any]:
    """The lines a person wants after a pre-training."""
    row = final["pretrain"]
    names = [name for name in ("loss", "reconstruction", "contrast", "val_loss") if name in row]
    losses = "  ".join(f"{name} {row[name]:.3f}" for name in names)
    about = f"{losses}, epoch {row['epoch']} of {final['epochs']}"
    hint = f"last-edge train --model {final['model']} --init {out} --store STORE --out RUN"
    return {"run": str(out), "model": final["model"], "trunk_params": final["params"], "losses": about, "next": hint}
