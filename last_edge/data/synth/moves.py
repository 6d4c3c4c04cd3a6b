"""Moves of one hand, drawn at random about typical ones: what is learnt of recordings without keeping any.

A move is a hand's points at a few moments, counted from where its wrist began, in lengths of its limb. Kept are the
means of groups of recorded moves, eight and more in each, and along which directions the moves of a group differ, by
how much (k-means, then principal components of what is left). All of it is whole numbers and is added up as such, so
that a draw is the same on every machine.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.arrays import npz_bytes, read_npz
from last_edge.data.synth.background import FPS
from last_edge.inputs.spec import Points, sample_at
from last_edge.skeleton import get_layout
from last_edge.skeleton.layout import limb_length

LAYOUT = "mediapipe_hand21"
SIGNING = Path(__file__).parent / "signing.npz"
"""Learnt of seven people who sign words, see docs/live.md; by `last_edge.tools.experiments.learn_moves`."""
STREAM = 5
UNIT, FINE = 1024, 256
"""Whole numbers a limb length, and a deviation."""
MOMENTS, GROUPS, LEAST, DIRECTIONS = 12, 24, 8, 40
ROUNDS = 50
SECONDS = (0.7, 1.5)
SIZE = (0.09, 0.2)
"""A limb in image heights."""
PLACE = ((0.3, 1.0), (0.3, 0.9))
"""Where a wrist begins, x and y in image heights of a 4:3 picture."""


@dataclass(frozen=True)
class Moves:
    """means (G, D) of groups, counts (G,) of moves in each, directions (R, D) a deviation long, in parts of a limb;
    D = moments * joints * 3.
    """

    means: NDArray[np.int16]
    counts: NDArray[np.int16]
    directions: NDArray[np.int16]

    def draw(self, number: int, *, seed: int) -> Points:
        """Move `number` (T, 21, 3) of a right hand in image heights, 30 frames a second."""
        rng = np.random.default_rng([seed, STREAM, number])
        group = int(np.searchsorted(np.cumsum(self.counts), rng.integers(int(self.counts.sum())), side="right"))
        along = np.rint(FINE * rng.standard_normal(len(self.directions))).astype(np.int64)
        whole = FINE * self.means[group].astype(np.int64) + along @ self.directions.astype(np.int64)
        moments = (whole / (FINE * UNIT)).reshape(-1, get_layout(LAYOUT).joints, 3)
        frames = round(float(rng.uniform(*SECONDS)) * FPS)
        at = np.linspace(0, len(moments) - 1, frames)
        before = np.minimum(at.astype(np.int64), len(moments) - 2)
        share = (at - before)[:, None, None]
        points = moments[before] + share * (moments[before + 1] - moments[before])
        begins = np.array([*(rng.uniform(*range_) for range_ in PLACE), 0.0])
        return np.asarray(points * rng.uniform(*SIZE) + begins, np.float32)

    def to_bytes(self) -> bytes:
        """An `.npz`."""
        return npz_bytes(asdict(self))


@lru_cache(maxsize=1)
def signing() -> Moves:
    """Moves of hands that sign words."""
    return Moves(**read_npz(SIGNING, where=SIGNING, what="the learnt moves cannot be read"))


def learn_moves(clips: Sequence[Points], *, seed: int = 0) -> Moves:
    """What is typical of clips (T, 21, 3) of a right hand, NaN where unseen, and how they differ from it."""
    moves = np.stack([_move(clip) for clip in clips]).reshape(len(clips), -1)
    group = _groups(moves, np.random.default_rng(seed))
    means = np.stack([moves[group == place].mean(axis=0) for place in range(group.max() + 1)])
    _, size, directions = np.linalg.svd(moves - means[group], full_matrices=False)
    longest = (size[:, None] * directions)[:DIRECTIONS] / np.sqrt(len(moves))
    return Moves(_whole(means), np.bincount(group).astype(np.int16), _whole(longest))


def _move(clip: Points) -> NDArray[np.float64]:
    """(12, 21, 3): the hand at as many moments, from the first frame that shows it to the last, gaps bridged."""
    seen = np.flatnonzero(~np.isnan(clip[:, 0, 0]))
    at = np.interp(np.linspace(seen[0], seen[-1], MOMENTS), seen, np.arange(len(seen)))
    points = sample_at(clip[None, seen], at)[0].astype(np.float64)
    return (points - points[0, 0]) / limb_length(clip, get_layout(LAYOUT))


def _groups(moves: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(N,) the group of each move: k-means, the smallest group given up while it has fewer than `LEAST`."""
    centres = moves[rng.choice(len(moves), min(GROUPS, len(moves)), replace=False)]
    for _ in range(ROUNDS):
        group = _nearest(moves, centres)
        centres = np.stack([moves[group == place].mean(axis=0) for place in np.unique(group)])
    while True:
        group = _nearest(moves, centres)
        sizes = np.bincount(group, minlength=len(centres))
        if sizes.min() >= LEAST or len(centres) == 1:
            return group
        centres = np.delete(centres, sizes.argmin(), axis=0)


def _nearest(moves: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    apart = np.square(centres).sum(axis=1) - 2 * moves @ centres.T
    return np.asarray(apart.argmin(axis=1))


def _whole(values: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.rint(UNIT * values).astype(np.int16)
