"""Which sentences of a store train, validate and test a translator."""

from __future__ import annotations

import dataclasses

import numpy as np

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points
from last_edge.errors import InputError
from last_edge.inputs.spec import InputSpec
from last_edge.tasks.config import Recipe
from last_edge.tasks.plan import Clips, Plan, held_out, input_spec


def translation_plan(store: ClipStore, recipe: Recipe) -> Plan:
    """Clips with a text: who trains, who validates, who tests; `InputError` when there is nothing to train on.

    Validation is the store's own split, or held-out training people where it has none.
    """
    told = store.index.text != ""
    parts = {split: clips[told[clips]] for split in ("train", "val", "test") for clips in [store.select(split=split)]}
    train, own_val = parts["train"], parts["val"]
    held = () if len(own_val) and not recipe.validation.subjects else held_out(store, train, recipe)
    inside = np.isin(store.index.subject[train].astype(str), held)
    if not len(train[~inside]):
        hint = "last-edge data compose, or data prepare how2sign | phoenix | pose_tsv"
        expected = "clips of split 'train' with text"
        raise InputError("no training sentences", where=store.path, expected=expected, hint=hint)
    spec = sentence_spec(store, recipe)
    check_points(store, spec)
    chosen = _subset(train[~inside], recipe)
    return Plan(store, spec, chosen, np.concatenate([own_val, train[inside]]), parts["test"], held)


def sentence_spec(store: ClipStore, recipe: Recipe) -> InputSpec:
    """A recipe's input on whole sentences."""
    return dataclasses.replace(input_spec(store, recipe.input), resample="pad")


def _subset(clips: Clips, recipe: Recipe) -> Clips:
    """`translate.subset` of the clips, drawn by `seed`; all of them for 0."""
    count = recipe.translate.subset
    if not count or count >= len(clips):
        return clips
    return np.sort(np.random.default_rng(recipe.seed).choice(clips, count, replace=False))
