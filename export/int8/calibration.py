"""Which clips find the INT8 ranges: drawn by class from the train split alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_clips

CALIBRATION_SPLIT = "train"


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


def clip_ids(store: ClipStore, clips: NDArray[np.int64]) -> tuple[str, ...]:
    """Names of clips for the record: the source's id, else the number in the store."""
    return tuple(str(store.index.source_id[clip]) or f"#{clip}" for clip in clips)
