"""Quality gates of a clip store: what must hold before anything is trained on it.

Here all of them in their order, and those on recordings that come back in another split: by the same name, or turned,
mirrored, scaled or slowed down.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from last_edge.clips import ClipStore
from last_edge.data.gates.general import (
    WORST,
    Gate,
    Limits,
    limits_from,
    measure,
    not_applicable,
    people_gates,
    point_gates,
    protocol_of,
    require,
)
from last_edge.data.gates.ntu import ntu_gates
from last_edge.data.inspect import Clips, NearPair, near_pairs
from last_edge.data.pool import VARIANT
from last_edge.inputs.spec import fit_window

FRAMES = 12


def run_gates(
    store: ClipStore, *, limits: Limits | None = None, pairs: Sequence[NearPair] | None = None
) -> tuple[Gate, ...]:
    """All gates in the order of the report.

    pairs: what `near_duplicates` found; without it the gates on leaks and copies do not apply.
    """
    limits = limits or Limits()
    figures = measure(store, step=limits.step)
    copies = None if pairs is None else disguised_copies(store, near=limits.copied)
    return (
        *point_gates(store, figures, limits),
        *people_gates(store, figures, limits, pairs),
        *copy_gates(store, limits, copies),
        *ntu_gates(store, figures, limits),
    )


__all__ = ["Gate", "Limits", "limits_from", "require", "run_gates"]


def copy_gates(store: ClipStore, limits: Limits, copies: tuple[NearPair, ...] | None) -> Iterator[Gate]:
    """The gates in the order of the report. copies: what `disguised_copies` found, None where nobody looked."""
    rule = "a recording and its variants are in one split"
    splits: dict[str, set[str]] = {}
    for name, split in zip(store.index.source_id.astype(str), store.index.split.astype(str), strict=True):
        if name and split:
            splits.setdefault(VARIANT.sub("", name), set()).add(split)
    crossing = sorted(name for name, found in splits.items() if len(found) > 1)
    if protocol_of(store) == "xview":
        yield not_applicable("variants", rule, "xview shares performances by design")
    else:
        yield Gate("variants", rule, f"{len(crossing)} recordings", not crossing, tuple(crossing[:WORST]))
    rule = "no clip is another split's turned, mirrored, scaled or slowed down"
    if copies is None:
        yield not_applicable("copies", rule, "not searched")
    elif protocol_of(store) == "xview":
        yield not_applicable("copies", rule, "xview shares performances by design")
    else:
        pairs = tuple(f"{pair.one} ~ {pair.other}" for pair in copies[:WORST])
        yield Gate("copies", rule, f"{len(copies)} pairs", not copies, pairs)


def disguised_copies(store: ClipStore, *, near: float = Limits.copied) -> tuple[NearPair, ...]:
    """Pairs of clips of different splits that differ by no more than place, turn, mirror, size or speed, nearest first.

    Body 0 is described by the distances between its joints in each of `FRAMES` frames and those between the places of
    its mean, by their own root mean square: nothing of what is undone changes them. Of 2,800 hands of SHREC'17 the
    nearest two of different people are 0.148 apart, of 861 bodies of UTD-MHAD 0.037; 3 mm of noise on a hand are 0.014.
    """
    points = [store.points(clip)[0] for clip in range(len(store))]
    features = np.stack([_shape(body) for body in points])
    twins = list(store.layout.mirror)
    mirrored = np.stack([_shape(body[:, twins]) for body in points]) if twins != sorted(twins) else features

    def distances(ones: Clips, others: Clips) -> NDArray[np.float32]:
        return np.minimum(*(_apart(kind[ones], features[others]) for kind in (features, mirrored)))

    return near_pairs(store, distances, near=near)


def _apart(ones: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    squares = (ones**2).sum(1)[:, None] + (others**2).sum(1) - 2 * ones @ others.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def _shape(body: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, V, C) -> (D,) of unit length in both parts; a missing point lies at 0."""
    window = np.nan_to_num(fit_window(body[None], FRAMES)[0])
    joints, frames = (np.triu_indices(count, 1) for count in (window.shape[1], FRAMES))
    centre = window.mean(axis=1)
    within = np.linalg.norm(window[:, joints[0]] - window[:, joints[1]], axis=-1).ravel()
    way = np.linalg.norm(centre[frames[0]] - centre[frames[1]], axis=-1)
    unit = max(float(np.sqrt(np.square(within).sum() / max(within.size, 1))), 1e-9)
    parts = [part / (unit * np.sqrt(max(part.size, 1))) for part in (within, way)]
    return np.concatenate(parts).astype(np.float32)
