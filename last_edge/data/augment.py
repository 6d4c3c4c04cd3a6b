"""Random changes to a training clip, drawn once for all streams (numpy; points only, the streams follow from them)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.inputs.transforms import Points, sample_at, seen_span
from last_edge.skeleton.layout import Layout
from last_edge.skeleton.mirror import mirror

Random = np.random.Generator
VERTICAL = 1


@dataclass(frozen=True)
class Augment:
    """Ranges of the random draws; the meaning of each is told in `last_edge.train.config.AugmentConfig`."""

    rotation_deg: float = 0.0
    tilt_deg: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    crop: float = 1.0
    warp: float = 0.0
    mirror: float = 0.0
    mask: float = 0.0


def augment(points: Points, *, frames: int, layout: Layout, ranges: Augment, random: Random) -> Points:
    """(M, T', V, C) -> (M, frames, V, C): crop and warp in time, turn, scale, shear, mirror, hide joints."""
    moved = sample_at(points, _positions(points, frames, ranges, random))
    if random.random() < ranges.mirror:
        moved = mirror(moved, layout)
    moved = moved @ _matrix(points.shape[-1], ranges, random).T
    return hide_joints(moved, random.random() * ranges.mask, layout, random) if ranges.mask else moved


def _positions(points: Points, frames: int, ranges: Augment, random: Random) -> NDArray[np.float64]:
    """(frames,) fractional frames of a random part of the seen span, unevenly fast."""
    first, last = seen_span(points)
    share = random.uniform(ranges.crop, 1.0)
    start = random.uniform(0.0, 1.0 - share)
    even = np.linspace(0.0, 1.0, frames)
    bend = random.uniform(-ranges.warp, ranges.warp)
    warped = np.clip(even + bend * np.sin(np.pi * even) / np.pi, 0.0, 1.0)
    return first + (start + share * warped) * (last - first)


def _matrix(axes: int, ranges: Augment, random: Random) -> Points:
    """(C, C) rotation, scale and shear in one matrix; flat clips turn in their plane."""
    tilt, turn = np.deg2rad(ranges.tilt_deg), np.deg2rad(ranges.rotation_deg)
    angles = random.uniform(-1, 1, 3) * [tilt, turn, tilt]
    rotation = _rotation(angles) if axes == 3 else _rotation([0, 0, angles[VERTICAL]])[:axes, :axes]
    shear = np.eye(axes) + random.uniform(-ranges.shear, ranges.shear, (axes, axes)) * (1 - np.eye(axes))
    return np.asarray(rotation @ shear * random.uniform(1 - ranges.scale, 1 + ranges.scale), np.float32)


def _rotation(angles: NDArray[np.float64] | list[float]) -> NDArray[np.float64]:
    """(3, 3) rotation about x, then y, then z, in radians."""
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        one, other = [index for index in range(3) if index != axis]
        step = np.eye(3)
        step[[one, other], [one, other]] = np.cos(angle)
        step[one, other], step[other, one] = -np.sin(angle), np.sin(angle)
        turned = step @ turned
    return turned


def hide_joints(points: Points, share: float, layout: Layout, random: Random) -> Points:
    """Points with `share` of the joints missing in every frame; never those that centre and scale the window."""
    hidden = points.copy()
    needed = [*layout.centre, *(joint for end in layout.scale or () for joint in end)]
    may = ~np.isin(np.arange(points.shape[2]), needed)
    hidden[:, :, may & (random.random(points.shape[2]) < share)] = np.nan
    return hidden
