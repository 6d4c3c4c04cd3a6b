"""`last-edge pretrain maskclr` and `last-edge probe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from last_edge.tools import options
from last_edge.tools.output import emit, epoch_progress
from last_edge.tools.train_preview import foresee, make_request, readable, resolve_recipe

if TYPE_CHECKING:
    from last_edge.train.run import Request


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
    from last_edge.train.pretrain.run import run_pretraining
    from last_edge.train.processes import is_first

    with epoch_progress("pretrain", quiet=quiet or json or not is_first()) as report:
        final = run_pretraining(request, report=report)
    if is_first():
        emit(final if json else _summary(final, out), as_json=json)


def _preview(request: Request) -> dict[str, Any]:
    """What a pre-training would do, its body regions and mask included."""
    from last_edge.clips.store import ClipStore
    from last_edge.skeleton.regions import body_regions
    from last_edge.train.pretrain.run import SMALLEST_HEAD, maskclr, pretrain_plan

    plan, settings = pretrain_plan(ClipStore.open(request.store), request.recipe), request.recipe.pretrain
    helpers = maskclr(request.recipe, plan, request.device).helpers
    regions = {name: len(joints) for name, joints in body_regions(plan.spec.layout).items()}
    return {
        "regions": ", ".join(f"{name} {joints}" for name, joints in regions.items()),
        "mask": f"{settings.ratio:.0%} of the points, {len(regions)} regions x {settings.blocks} blocks of frames",
        "thrown_away_params": sum(parameter.numel() for parameter in helpers.parameters()),
        **foresee(request.recipe, plan, classes=SMALLEST_HEAD),
    }


def _summary(final: dict[str, Any], out: Path) -> dict[str, Any]:
    """The lines a person wants after a pre-training."""
    row = final["pretrain"]
    names = [name for name in ("loss", "reconstruction", "contrast", "val_loss") if name in row]
    losses = "  ".join(f"{name} {row[name]:.3f}" for name in names)
    about = f"{losses}, epoch {row['epoch']} of {final['epochs']}"
    hint = f"last-edge train --model {final['model']} --init {out} --store STORE --out RUN"
    return {"run": str(out), "model": final["model"], "trunk_params": final["params"], "losses": about, "next": hint}
