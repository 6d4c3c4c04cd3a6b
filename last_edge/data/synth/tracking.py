"""The tracker's faults: noise, single-frame jumps, hands and points it loses, and how sure it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from last_edge.data.synth.body import LEFT_HAND, RIGHT_HAND, drift
from last_edge.data.synth.options import SynthOptions

Array = NDArray[np.float64]
DEPTH_NOISE = 2.5
BODY_NOISE = 0.8
JUMP_CHANCE = 0.012
JUMP_SIZE = 10.0
GAP_FRAMES = 4.0
POINT_DROP_SHARE = 0.05
MOST_LOST = 0.4
EDGE = 1.02
LEGS = slice(23, 33)
# Points a body tracker may lose one by one; the shoulders hold the origin and the scale.
LOSABLE = np.array([*range(11), 13, 14, *range(17, 23)])


def track(points: Array, options: SynthOptions, *, rng: np.random.Generator) -> tuple[Array, Array]:
    """Image points (T, 75, 3) -> what a tracker reports (T, 75, 3), NaN where lost, and its confidence (T, 75)."""
    seen = _noisy(points, options.noise, rng)
    confidence = _confidence(len(points), rng)
    for hand in (LEFT_HAND, RIGHT_HAND):
        outside = points[:, hand, 1].mean(axis=1) > EDGE
        confidence[outside | _gaps(len(points), options.drop_rate, rng), hand] = 0.0
    lost = rng.random((len(points), len(LOSABLE))) < options.drop_rate * POINT_DROP_SHARE
    confidence[:, LOSABLE] *= ~lost
    seen[confidence == 0] = np.nan
    return seen, confidence


def _noisy(points: Array, noise: float, rng: np.random.Generator) -> Array:
    """White noise on every point, slow noise and single-frame jumps on whole hands."""
    frames, joints, _ = points.shape
    size = np.full((joints, 1), noise)
    size[:33] *= BODY_NOISE
    size[LEGS] *= 4.0
    seen = points + rng.normal(0.0, 1.0, points.shape) * size * (1.0, 1.0, DEPTH_NOISE)
    for hand in (LEFT_HAND, RIGHT_HAND):
        jump = (rng.random((frames, 1)) < JUMP_CHANCE) * rng.normal(0.0, JUMP_SIZE, (frames, 3))
        seen[:, hand] += noise * (jump + drift(rng, frames, 3))[:, None]
    return np.asarray(seen)


def _confidence(frames: int, rng: np.random.Generator) -> Array:
    confidence = np.empty((frames, 75))
    confidence[:, :33] = rng.uniform(0.9, 1.0, (frames, 33))
    confidence[:, LEGS] = rng.uniform(0.02, 0.3, (frames, 10))
    for hand in (LEFT_HAND, RIGHT_HAND):
        confidence[:, hand] = rng.uniform(0.6, 1.0, (frames, 1))
    return confidence


def _gaps(frames: int, rate: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(T,) true where the hand is lost: gaps of a few frames, never more than 40% of the clip."""
    lost = np.zeros(frames, np.bool_)
    for start in np.flatnonzero(rng.random(frames) < rate / GAP_FRAMES):
        length = int(rng.geometric(1 / GAP_FRAMES))
        if lost.sum() + length <= MOST_LOST * frames:
            lost[start : start + length] = True
    return lost
