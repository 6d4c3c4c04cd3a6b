"""Near-duplicate clips across splits: a test clip that also trains makes every accuracy worthless."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.clips import ClipStore
from last_edge.inputs.transforms import fit_window

FRAMES = 12
NEAR = 0.03
"""Distance below which two clips count as one: three per cent of the clips' own extent."""
BLOCK = 512


@dataclass(frozen=True)
class NearPair:
    """Two clips of different splits that are almost the same."""

    one: str
    other: str
    distance: float


def near_duplicates(store: ClipStore, *, near: float = NEAR) -> tuple[NearPair, ...]:
    """Pairs (test or val clip, train clip) and (test, val) closer than `near`, nearest first.

    Clips are resampled to `FRAMES`, centred and scaled to unit extent; the distance is the root mean square over all
    coordinates. A missing point counts as lying in the centre. Time is O(clips of one split x clips of the other).
    """
    features = _features(store)
    by_split = {split: store.select(split=split) for split in ("train", "val", "test")}
    pairs: list[NearPair] = []
    for one, other in (("val", "train"), ("test", "train"), ("test", "val")):
        pairs += _near_pairs(store, features, by_split[one], by_split[other], near)
    return tuple(sorted(pairs, key=lambda pair: (pair.distance, pair.one)))


def _features(store: ClipStore) -> NDArray[np.float32]:
    """(N, D) clips as points of unit root mean square."""
    return np.stack([_feature(store.points(clip)) for clip in range(len(store))])


def _feature(points: NDArray[np.float32]) -> NDArray[np.float32]:
    window = fit_window(points, FRAMES)
    seen = ~np.isnan(window)
    counts = np.maximum(seen.sum(axis=(0, 1, 2)), 1)
    flat = np.where(seen, window - np.nan_to_num(window).sum(axis=(0, 1, 2)) / counts, 0).ravel()
    return np.asarray(flat / max(float(np.sqrt((flat**2).mean())), 1e-9), np.float32)


def _near_pairs(
    store: ClipStore,
    features: NDArray[np.float32],
    ones: NDArray[np.int64],
    others: NDArray[np.int64],
    near: float,
) -> list[NearPair]:
    pairs = []
    for start in range(0, len(ones), BLOCK):
        block = ones[start : start + BLOCK]
        products = features[block] @ features[others].T / features.shape[1]
        distances = np.sqrt(np.maximum(2 - 2 * products, 0))
        for row, column in np.argwhere(distances < near):
            names = store.index.source_id[block[row]], store.index.source_id[others[column]]
            pairs.append(NearPair(*names, round(float(distances[row, column]), 5)))
    return pairs
