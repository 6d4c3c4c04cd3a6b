"""What is in a clip store, `last-edge data info`, near-duplicates across its splits among it.

A test clip that also trains makes every accuracy worthless.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.clips import ClipStore
from last_edge.inputs.spec import fit_window

FRAMES = 12
NEAR = 0.03
"""Distance below which two clips count as one: three per cent of the clips' own extent."""
BLOCK = 256
COMPARED = (("val", "train"), ("test", "train"), ("test", "val"))
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
ROWS = 4096
Clips = NDArray[np.int64]
Distances = Callable[[Clips, Clips], NDArray[np.float32]]
"""(n, m) from each of some clips to each of others."""


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
    features = np.stack([_feature(store.points(clip)) for clip in range(len(store))])

    def distances(ones: Clips, others: Clips) -> NDArray[np.float32]:
        products = features[ones] @ features[others].T / features.shape[1]
        return np.asarray(np.sqrt(np.maximum(2 - 2 * products, 0)))

    return near_pairs(store, distances, near=near)


def near_pairs(store: ClipStore, distances: Distances, *, near: float) -> tuple[NearPair, ...]:
    """Pairs of clips of two splits, as `COMPARED` names them, that are closer than `near`, nearest first."""
    pairs: list[NearPair] = []
    for ones, others in ((store.select(split=one), store.select(split=other)) for one, other in COMPARED):
        for start in range(0, len(ones), BLOCK):
            block = ones[start : start + BLOCK]
            apart = distances(block, others)
            for row, column in np.argwhere(apart < near):
                one, other = (str(store.index.source_id[clip]) for clip in (block[row], others[column]))
                pairs.append(NearPair(one, other, round(float(apart[row, column]), 5)))
    return tuple(sorted(pairs, key=lambda pair: (pair.distance, pair.one)))


def _feature(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(D,) a clip as points of unit root mean square."""
    window = fit_window(points, FRAMES)
    seen = ~np.isnan(window)
    counts = np.maximum(seen.sum(axis=(0, 1, 2)), 1)
    flat = np.where(seen, window - np.nan_to_num(window).sum(axis=(0, 1, 2)) / counts, 0).ravel()
    return np.asarray(flat / max(float(np.sqrt((flat**2).mean())), 1e-9), np.float32)


@dataclass(frozen=True)
class StoreInfo:
    """A store in figures.

    shown_s: seconds of each label's spans in long recordings; background_s: of all that lies between them.
    lengths: frames at the quantiles 0, 25, 50, 75, 100 %. missing: share of points that are missing, of all and by
    part of the layout. empty_bodies: share of clips that never show the body at that place.
    shared_subjects: "split/split" -> people in both. near_duplicates: almost equal clips of different splits.
    """

    store: str
    sha256: str
    about: dict[str, Any]
    layout: str
    units: str
    fps: float
    clips: int
    frames: int
    shape: tuple[int, ...]
    labels: dict[str, int]
    unlabelled: int
    shown_s: dict[str, float]
    background_s: float
    subjects: dict[str, int]
    splits: dict[str, int]
    subjects_by_split: dict[str, int]
    labels_absent_by_split: dict[str, list[str]]
    lengths: tuple[int, ...]
    missing: float
    missing_by_part: dict[str, float]
    empty_bodies: tuple[float, ...]
    shared_subjects: dict[str, list[str]]
    near_duplicates: tuple[NearPair, ...]


def inspect(store: ClipStore, *, duplicates: bool = True, near: float = NEAR) -> StoreInfo:
    """Count everything; reads all points once. near: distance below which two clips are near-duplicates."""
    index, splits = store.index, _counts(store.index.split)
    people = {split: set(index.subject[index.split == split]) for split in splits}
    shown = {split: set(index.label[index.split == split].tolist()) for split in splits}
    recordings, shown_s = store.recordings(), np.zeros(len(store.labels))
    for clip in recordings:
        for label, first, last in index.spans[clip]:
            shown_s[label] += (last - first + 1) / index.fps[clip]
            shown[str(index.split[clip])].add(int(label))
    starts = range(0, store.header.shape[0], ROWS)
    rows = [~np.isnan(store.frames[start : start + ROWS]).any(-1) for start in starts]
    shown_frames = np.add.reduceat(np.concatenate(rows).astype(np.float32), index.offset, axis=0)
    seen = shown_frames / index.length[:, None, None]
    shown_joints = np.average(seen, axis=0, weights=index.length).mean(axis=0)
    return StoreInfo(
        store=str(store.path),
        sha256=store.sha256,
        about=store.about,
        layout=store.layout.name,
        units=store.units,
        fps=store.fps,
        clips=len(store),
        frames=store.header.shape[0],
        shape=store.header.shape[1:],
        labels={name: int((index.label == number).sum()) for number, name in enumerate(store.labels)},
        unlabelled=int((index.label < 0).sum()),
        shown_s={
            name: round(float(seconds), 1) for name, seconds in zip(store.labels, shown_s, strict=True) if seconds
        },
        background_s=round(max(float((index.length / index.fps)[recordings].sum() - shown_s.sum()), 0.0), 1),
        subjects=_counts(index.subject),
        splits=splits,
        subjects_by_split={split: len(names) for split, names in people.items()},
        labels_absent_by_split={
            split: [name for number, name in enumerate(store.labels) if number not in numbers]
            for split, numbers in shown.items()
        },
        lengths=tuple(int(value) for value in np.quantile(index.length, QUANTILES)),
        missing=_share_missing(shown_joints),
        missing_by_part={name: _share_missing(shown_joints[list(part)]) for name, part in store.layout.parts.items()},
        empty_bodies=tuple(round(float(share), 4) for share in (seen.sum(axis=2) == 0).mean(axis=0)),
        shared_subjects={
            f"{one}/{other}": sorted(people[one] & people[other])
            for one, other in combinations(sorted(split for split in people if split), 2)
        },
        near_duplicates=near_duplicates(store, near=near) if duplicates else (),
    )


def _counts(column: NDArray[np.object_]) -> dict[str, int]:
    return dict(sorted(Counter(column.tolist()).items()))


def _share_missing(seen: NDArray[np.floating]) -> float:
    return round(float(1 - seen.mean()), 4)
