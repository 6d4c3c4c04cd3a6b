"""Whose clips find ranges and weights, and whose judge: people of the train split, never of the test split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_clips
from last_edge.errors import InputError
from last_edge.export.bundles.thresholds import held_out_subjects
from last_edge.tasks.config import Recipe
from last_edge.tasks.plan import CALIBRATION_SPLIT, part_by_people
from last_edge.tasks.registry import RECOGNITION
from last_edge.tasks.task import Task
from last_edge.train.checkpoint import checkpoint_folder


def calibration_clips(store: ClipStore, *, count: int, seed: int) -> NDArray[np.int64]:
    """Up to `count` clip numbers of the train split, as evenly over the classes as they allow, in store order.

    `InputError` when the store has no labelled training clips.
    """
    return evenly_by_class(store, labelled_clips(store, CALIBRATION_SPLIT), count=count, seed=seed)


def evenly_by_class(store: ClipStore, clips: NDArray[np.int64], *, count: int, seed: int) -> NDArray[np.int64]:
    """Up to `count` of these clips, as evenly over the classes as they allow, in store order."""
    random = np.random.default_rng(seed)
    shuffled = clips[random.permutation(len(clips))]
    rank = _rank_in_class(store.index.label[shuffled])
    chosen = shuffled[np.argsort(rank, kind="stable")[:count]]
    return np.sort(chosen)


def _rank_in_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each clip how many of its class come before it."""
    rank = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    return rank


Clips = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """calibration: clips that find ranges. learning: all that weights may be fitted to, those among them. judging: of
    other people, for choosing. subjects: who they are.
    """

    calibration: Clips
    learning: Clips
    judging: Clips
    subjects: tuple[str, ...]


def parts_of(store: ClipStore, *, count: int, seed: int, run: Path | None = None, task: Task = RECOGNITION) -> Parts:
    """Part the train split by people. run: its held-out people judge; else as many as a training would hold out.

    A store's own `val` split judges too. `InputError` when nobody is left on one side.
    """
    train, own = task.clips(store, CALIBRATION_SPLIT), task.usable(store, "val")
    held = None if run is None else held_out_subjects(checkpoint_folder(run))
    learning, judging, subjects = part_by_people(store, train, own, Recipe(seed=seed), held=held)
    if not len(judging) or not len(learning):
        raise InputError(
            "an INT8 file needs people to judge it apart from those that calibrate", where=store.path,
            expected="two subjects in the train split, or a val split",
            got=f"{len(set(store.index.subject[train]))} subjects",
        )  # fmt: skip
    return Parts(evenly_by_class(store, learning, count=count, seed=seed), learning, np.sort(judging), subjects)
