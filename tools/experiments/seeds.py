"""Runs of the same recipe with several seeds as one row: mean, spread and each seed's own figure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_fits, labelled_clips
from last_edge.errors import InputError
from last_edge.logits import Logits
from last_edge.tasks.class_learner import predict
from last_edge.tasks.config import Recipe
from last_edge.tasks.metrics import merged, metrics_of
from last_edge.tools.experiments.compare import Hits, paired_difference, spread_of
from last_edge.train.checkpoint import load_checkpoint
from last_edge.train.recipe import identity_of, load_recipe
from last_edge.train.run_folder import FINAL


@dataclass(frozen=True)
class Measured:
    """One run on one split. group: what the runs of one row have in common, which is everything but the seed.

    hits, merged_hits: (clips,) right answers; top1, merged: their shares in percent, None without coarser classes.
    """

    path: Path
    group: str
    recipe: Recipe
    parameters: int
    top1: float
    merged: float | None
    merged_classes: int
    hits: Hits
    merged_hits: Hits | None


def measure(path: Path, store: ClipStore, *, split: str, merge_at: str) -> Measured:
    """Top-1 of a run's chosen checkpoint, in percent; with `merge_at` also of the coarser classes."""
    checkpoint = load_checkpoint(path)
    check_fits(store, checkpoint.spec, checkpoint.labels)
    clips = labelled_clips(store, split)
    logits: Logits = predict(checkpoint.model, store, clips, spec=checkpoint.spec)
    recipe = load_recipe(str(checkpoint.path / "recipe.yaml"))
    # What a run learnt from that its recipe does not hold, such as its teachers.
    beyond = records.read_json(path / FINAL).get("beyond_recipe", []) if (path / FINAL).exists() else []
    same = identity_of(replace(recipe, seed=0))
    labels = store.index.label[clips]
    coarse: dict[str, Any] = {"top1": None, "labels": ()}
    merged_hits = None
    if merge_at:
        coarse = metrics_of(logits, store, clips, merge_at=merge_at)
        merged_hits = _hits(*merged(logits, labels, store.labels, at=merge_at)[:2])
    return Measured(
        path=path,
        group=f"{checkpoint.card.name} {checkpoint.card.options} {checkpoint.spec.sha256} {same} {list(beyond)}",
        recipe=recipe, parameters=sum(p.numel() for p in checkpoint.model.parameters()),
        top1=metrics_of(logits, store, clips)["top1"], merged=coarse["top1"], merged_classes=len(coarse["labels"]),
        hits=_hits(logits, labels), merged_hits=merged_hits,
    )  # fmt: skip


def _hits(logits: Logits, labels: NDArray[np.int64]) -> Hits:
    return np.asarray(logits.argmax(1) == labels)


def seeds_table(
    paths: Sequence[Path], store: ClipStore, *, split: str, merge_at: str = "", paired: bool = False
) -> list[dict[str, Any]]:
    """One row for each group of runs that differ in nothing but the seed, in order of first appearance.

    paired: further rows tell how much better they are than the first, see `paired_difference`; `InputError` where a
    row's seeds are not the first one's.
    """
    groups: dict[str, list[Measured]] = {}
    for path in paths:
        run = measure(path, store, split=split, merge_at=merge_at)
        groups.setdefault(run.group, []).append(run)
    rows = list(groups.values())
    return [_row(runs, merge_at) | (_differences(runs, rows[0]) if paired else {}) for runs in rows]


def _differences(runs: list[Measured], first: list[Measured]) -> dict[str, Any]:
    """Points of top-1 above the first row's runs of the same seeds, with their interval; None for the first row."""
    names = {"top1": "hits", "merged": "merged_hits"} if runs[0].merged_hits is not None else {"top1": "hits"}
    if runs is first:
        return {f"{name}_difference": None for name in names}
    one, other = ({run.recipe.seed: run for run in group} for group in (runs, first))
    if one.keys() != other.keys():
        hint = "the same seeds in every row, or no --paired"
        where = ", ".join(str(run.path) for run in runs)
        raise InputError("seeds cannot be paired", where=where, expected=sorted(other), got=sorted(one), hint=hint)
    pairs = {
        name: [np.array([getattr(rows[seed], hits) for seed in sorted(one)]) for rows in (one, other)]
        for name, hits in names.items()
    }
    return {f"{name}_difference": asdict(paired_difference(*pair)) for name, pair in pairs.items()}


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
    found = spread_of(values)
    return {name: found.mean, f"{name}_sd": found.std if len(values) > 1 else None, f"{name}_each": values}
