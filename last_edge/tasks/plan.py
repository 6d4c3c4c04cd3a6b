"""What a run will do, decided before it starts: input, who trains, who validates, who tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points
from last_edge.errors import InputError
from last_edge.inputs.spec import InputSpec
from last_edge.tasks.config import InputConfig, Recipe, ValidationConfig

Clips = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """Clip numbers of each part. Validation is a subject-disjoint part of train; test is only for the end."""

    store: ClipStore
    spec: InputSpec
    train: Clips
    val: Clips
    test: Clips
    val_subjects: tuple[str, ...]


def input_spec(store: ClipStore, config: InputConfig) -> InputSpec:
    """The `InputSpec` of a recipe on a store's layout and axes."""
    channels = int(store.frames.shape[-1])
    return InputSpec(
        store.layout, config.frames, channels, config.bodies,
        centre=config.centre, scale=config.scale, streams=tuple(config.streams),  # type: ignore[arg-type]
    )  # fmt: skip


def make_plan(store: ClipStore, recipe: Recipe) -> Plan:
    """Split a store for a recipe; `InputError` when there is nothing to train on."""
    labelled = store.index.label >= 0
    train = _labelled(store.select(split="train"), labelled)
    own_val = _labelled(store.select(split="val"), labelled)
    held = () if len(own_val) and not recipe.validation.subjects else held_out(store, train, recipe)
    inside = np.isin(store.index.subject[train].astype(str), held)
    if not len(train[~inside]):
        splits = sorted(set(store.index.split.tolist()))
        hint = "last-edge data prepare ... --leave-out SUBJECT makes a train and a test split"
        raise InputError(
            "no labelled training clips", where=store.path, expected="split 'train'", got=splits, hint=hint
        )
    val = np.concatenate([own_val, train[inside]])
    test = _labelled(store.select(split="test"), labelled)
    spec = input_spec(store, recipe.input)
    check_points(store, spec)
    return Plan(store, spec, share_of_labels(store, train[~inside], recipe), val, test, held)


def share_of_labels(store: ClipStore, clips: Clips, recipe: Recipe) -> Clips:
    """`training.label_share` of the clips of each class, drawn by `seed`, at least one of each; in the order given."""
    share, labels = recipe.training.label_share, store.index.label[clips]
    if share == 1:
        return clips
    kept = np.zeros(len(clips), bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        count = max(1, math.floor(share * len(own) + 0.5))
        kept[np.random.default_rng([recipe.seed, int(label)]).choice(own, count, replace=False)] = True
    return clips[kept]


def _labelled(clips: Clips, labelled: NDArray[np.bool_]) -> Clips:
    return clips[labelled[clips]]


def held_out(store: ClipStore, train: Clips, recipe: Recipe) -> tuple[str, ...]:
    """Training subjects kept for validation, in order."""
    known = sorted(set(store.index.subject[train].astype(str).tolist()))
    config = recipe.validation
    unknown = [name for name in config.subjects if name not in known]
    if unknown:
        raise InputError("validation subjects are not in train", where=store.path, expected=known, got=unknown)
    return tuple(config.subjects) or _draw(known, config, seed=recipe.seed)


def _draw(known: list[str], config: ValidationConfig, *, seed: int) -> tuple[str, ...]:
    if config.fraction == 0 or len(known) < 2:
        return ()
    count = min(max(1, math.floor(config.fraction * len(known) + 0.5)), len(known) - 1)
    return tuple(sorted(np.random.default_rng(seed).choice(known, count, replace=False).tolist()))
