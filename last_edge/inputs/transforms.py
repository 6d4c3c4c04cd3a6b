"""A clip as a window of as many frames as a model takes, in numpy; `last_edge.models.front` does the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]


def seen_span(points: Points) -> tuple[int, int]:
    """First and last frame that show any point; (0, T'-1) when none does."""
    seen = np.flatnonzero(~np.all(_missing(points), axis=(0, 2)))
    return (int(seen[0]), int(seen[-1])) if len(seen) else (0, points.shape[1] - 1)


def _missing(points: Points) -> NDArray[np.bool_]:
    """(..., C) -> (...) whether any coordinate is NaN; axis by axis, three times as fast as a reduction over so few."""
    missing = np.isnan(points[..., 0])
    for axis in range(1, points.shape[-1]):
        missing |= np.isnan(points[..., axis])
    return missing


def fit_window(points: Points, frames: int) -> Points:
    """(M, T', V, C) -> (M, frames, V, C): linear in time over the seen span.

    Where one of the two neighbours is missing the nearer frame's point is taken, which may be missing too.
    """
    first, last = seen_span(points)
    return sample_at(points, first + np.linspace(0.0, 1.0, frames) * (last - first))


def sample_at(points: Points, positions: NDArray[np.float64]) -> Points:
    """Points (M, T', V, C) at fractional frame positions (T,) within 0..T'-1."""
    before = np.floor(positions).astype(np.int64)
    after = np.minimum(before + 1, points.shape[1] - 1)
    weight = (positions - before).astype(np.float32)[:, None, None]
    blend = points[:, before] * (1 - weight) + points[:, after] * weight
    missing = _missing(blend)[..., None]
    if not missing.any():
        return np.asarray(blend, np.float32)
    nearer = points[:, np.where(weight[:, 0, 0] < 0.5, before, after)]
    return np.asarray(np.where(missing, nearer, blend), np.float32)
