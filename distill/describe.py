"""What a distillation would do, in words and numbers, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from last_edge.clips.store import ClipStore
from last_edge.distill.cache import HEADER, check_current
from last_edge.distill.cached import cached_clips, check_cacheable, header_of
from last_edge.distill.fill_cache import missing_views, probe_of, shapes_of
from last_edge.distill.loss_map import entries_in_use
from last_edge.distill.rows import bytes_of
from last_edge.distill.run import check_teachers, check_weights, default_cache, live, loss_map
from last_edge.tasks.config import DistillConfig, StageLoss
from last_edge.tasks.plan import Plan, make_plan
from last_edge.train.checkpoint import Checkpoint, load_checkpoint
from last_edge.train.request import Request


def describe_distillation(request: Request, teachers: Sequence[Path], cache: Path | None = None) -> dict[str, Any]:
    """Teachers, loss, loss map and cache of a request; raises what the run itself would raise about them."""
    checkpoints = [load_checkpoint(path) for path in teachers]
    plan = make_plan(ClipStore.open(request.store), request.recipe)
    check_weights(request.recipe, checkpoints)
    check_teachers(checkpoints, plan)
    map_ = loss_map(checkpoints, request.recipe, plan)
    projections = 0 if map_ is None else sum(parameter.numel() for parameter in map_.parameters())
    return {
        "teachers": [_teacher(path, checkpoint) for path, checkpoint in zip(teachers, checkpoints, strict=True)],
        "loss": formula(request.recipe.distill),
        "loss_map": [_entry(entry, len(checkpoints)) for entry in entries_in_use(request.recipe.distill)],
        "projection_params": projections,
        "cache": _cache(request, checkpoints, plan, cache),
    }


def formula(config: DistillConfig) -> str:
    """The loss with its weights."""
    extra = {
        "kl": "",
        "dkd": f", alpha {config.dkd_alpha:g}, beta {config.dkd_beta:g}",
        "dist": f", beta {config.dist_beta:g}, gamma {config.dist_gamma:g}",
    }
    text = f"{config.a:g} * cross entropy + {config.b:g} * {config.soft} (tau {config.tau:g}{extra[config.soft]})"
    return text + (f" + {config.g:g} * loss map" if entries_in_use(config) else "")


def _cache(request: Request, teachers: Sequence[Checkpoint], plan: Plan, folder: Path | None) -> dict[str, Any] | None:
    """What the cache of a request holds and has already; None for a recipe without one."""
    recipe = request.recipe
    if recipe.distill.cache == "off":
        return None
    check_cacheable(recipe)
    clips, header = cached_clips(plan, recipe), header_of(teachers, plan, recipe)
    folder = folder or default_cache(request.out, header)
    if (folder / HEADER).exists():
        check_current(folder, header, probe_of(clips))
    shapes = shapes_of(live(teachers, recipe, "cpu"), clips, device="cpu")
    return {
        "folder": str(folder),
        "views": clips.views,
        "views_there": clips.views - len(missing_views(folder, clips.views)),
        "clips": len(clips),
        "arrays": {name: list(shape) for name, shape in shapes.items()},
        "bytes": clips.views * sum(bytes_of(shape) for shape in shapes.values()),
    }


def _teacher(path: Path, checkpoint: Checkpoint) -> str:
    spec = checkpoint.spec
    params = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    return f"{path}: {checkpoint.card.name}, {params} parameters, {spec.frames} frames, {'+'.join(spec.streams)}"


def _entry(entry: StageLoss, teachers: int) -> str:
    whose = f" of teacher {entry.of}" if teachers > 1 else ""
    return f"stage {entry.student} <- stage {entry.teacher}{whose}: {entry.weight:g} * {entry.loss}"
