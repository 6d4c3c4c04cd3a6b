"""Runs of the same recipe with several seeds as one row: mean, spread and each seed's own figure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from last_edge.clips.store import ClipStore
from last_edge.errors import InputError
from last_edge.train.checkpoint import load_checkpoint
from last_edge.train.config import Recipe
from last_edge.train.evaluate import check_fits, labelled_clips, predict
from last_edge.train.metrics import Logits, metrics_of
from last_edge.train.recipe import identity_of, load_recipe

FIRST = 0


@dataclass(frozen=True)
class Measured:
    """One run on one split. group: what the runs of one row have in common, which is everything but the seed."""

    path: Path
    group: str
    recipe: Recipe
    parameters: int
    top1: float
    merged: float | None
    merged_classes: int


def measure(path: Path, store: ClipStore, *, split: str, merge_at: str) -> Measured:
    """Top-1 of a run's chosen checkpoint, in percent; with `merge_at` also of the coarser classes."""
    checkpoint = load_checkpoint(path)
    check_fits(store, checkpoint.spec, checkpoint.labels)
    clips = labelled_clips(store, split)
    logits: Logits = predict(checkpoint.model, store, clips, spec=checkpoint.spec)
    recipe = load_recipe(str(checkpoint.path / "recipe.yaml"))
    seed, recipe.seed = recipe.seed, FIRST
    group = f"{checkpoint.card.name} {checkpoint.card.options} {checkpoint.spec.sha256} {identity_of(recipe)}"
    recipe.seed = seed
    coarse: dict[str, Any] = {"top1": None, "labels": ()}
    if merge_at:
        coarse = metrics_of(logits, store, clips, merge_at=merge_at)
    return Measured(
        path=path,
        group=group,
        recipe=recipe,
        parameters=sum(p.numel() for p in checkpoint.model.parameters()),
        top1=metrics_of(logits, store, clips)["top1"],
        merged=coarse["top1"],
        merged_classes=len(coarse["labels"]),
    )


def seeds_table(paths: Sequence[Path], store: ClipStore, *, split: str, merge_at: str = "") -> list[dict[str, Any]]:
    """One row for each group of runs that differ in nothing but the seed, in order of first appearance."""
    groups: dict[str, list[Measured]] = {}
    for path in paths:
        run = measure(path, store, split=split, merge_at=merge_at)
        groups.setdefault(run.group, []).append(run)
    return [_row(runs, merge_at) for runs in groups.values()]


def _row(runs: list[Measured], merge_at: str) -> dict[str, Any]:
    first = runs[0]
    seeds = [run.recipe.seed for run in runs]
    if len(set(seeds)) < len(seeds):
        raise InputError("the same run with the same seed twice", where=[str(run.path) for run in runs], got=seeds)
    row: dict[str, Any] = {
        "runs": ", ".join(run.path.name for run in runs),
        "model": first.recipe.model.name,
        "parameters": first.parameters,
        "epochs": first.recipe.training.epochs,
        "frames": first.recipe.input.frames,
        "seeds": len(runs),
        **_spread("top1", [run.top1 for run in runs]),
    }
    if not merge_at:
        return row
    return row | {"merged_classes": first.merged_classes} | _spread("merged", [run.merged or 0.0 for run in runs])


def _spread(name: str, values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation over seeds (None of a single one) and the figures themselves, two decimals."""
    deviation = round(statistics.stdev(values), 2) if len(values) > 1 else None
    return {name: round(statistics.fmean(values), 2), f"{name}_sd": deviation, f"{name}_each": values}
