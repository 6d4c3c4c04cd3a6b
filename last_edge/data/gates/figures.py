"""What the gates need to know of every clip, from one pass over a store's points."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.clips import ClipStore
from last_edge.skeleton.geometry import limb_length, limb_lengths
from last_edge.skeleton.layout import Layout

Points = NDArray[np.float32]
Column = NDArray[np.float64]


@dataclass(frozen=True)
class ClipFigures:
    """Columns over the clips (N,), NaN where a clip does not show what is measured.

    seen: (N, M) share of points that each body shows. zero: every point shown lies at 0 0 0. largest: absolute
    coordinate. step: the longest way of a joint between two frames; steps, fast: how many there are and how many are
    longer than allowed. limb, spread: mean of the layout's unit limb and its deviation by that mean. extent: median
    longest side of body 0. origin: distance of the first joint of body 0 from 0 0 0 in the first frame that shows it.
    tilt: cosine between y and body 0's first bone in the first frame that shows it. digest: identity of the points.
    """

    seen: Column
    zero: NDArray[np.bool_]
    largest: Column
    step: Column
    steps: NDArray[np.int64]
    fast: NDArray[np.int64]
    limb: Column
    spread: Column
    extent: Column
    origin: Column
    tilt: Column
    digest: NDArray[np.object_]


def measure(store: ClipStore, *, step: float) -> ClipFigures:
    """Read every clip once. step: the way beyond which a joint counts as fast."""
    rows = [_figures(store.points(clip), store.layout, step) for clip in range(len(store))]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    kinds = {"zero": np.bool_, "steps": np.int64, "fast": np.int64, "digest": np.object_}
    return ClipFigures(**{name: np.array(column, kinds.get(name, np.float64)) for name, column in columns.items()})


def _figures(points: Points, layout: Layout, step: float) -> dict[str, object]:
    """Figures of (M, T, V, C) points."""
    here = np.asarray(~np.isnan(points).any(-1))
    steps = np.linalg.norm(np.diff(points, axis=1), axis=-1)
    steps = steps[~np.isnan(steps)]
    lengths, limb = limb_lengths(points[0], layout), limb_length(points[0], layout)
    deviation = float(lengths[~np.isnan(lengths)].std()) if limb > 0 else np.nan
    origin, tilt = _first_pose(points[0])
    shown = np.abs(points[here])
    return {
        "seen": here.mean((1, 2)),
        "zero": bool(shown.size) and not shown.any(),
        "largest": shown.max(initial=0.0),
        "step": steps.max(initial=0.0),
        "steps": steps.size,
        "fast": int((steps > step).sum()),
        "limb": limb,
        "spread": deviation / limb,
        "extent": _extent(points[0][here[0].any(-1)]),
        "origin": origin,
        "tilt": tilt,
        "digest": hashlib.blake2b(np.ascontiguousarray(points).tobytes(), digest_size=16).digest(),
    }


def _extent(frames: Points) -> float:
    """Median longest side of the box about (T, V, C) points, each frame of which shows one."""
    if not len(frames):
        return np.nan
    return float(np.median((np.nanmax(frames, axis=1) - np.nanmin(frames, axis=1)).max(-1)))


def _first_pose(body: Points) -> tuple[float, float]:
    """Where the first joint first is, as its distance from 0 0 0, and how upright the bone to the second is there."""
    seen = np.flatnonzero(~np.isnan(body[:, 0]).any(-1))
    if not len(seen) or body.shape[1] < 2:
        return np.nan, np.nan
    root, bone = body[seen[0], 0], body[:, 1] - body[:, 0]
    shown = np.flatnonzero(~np.isnan(bone).any(-1))
    up = bone[shown[0]] if len(shown) else np.full(body.shape[-1], np.nan)
    return float(np.linalg.norm(root)), float(up[1] / max(float(np.linalg.norm(up)), 1e-9))
