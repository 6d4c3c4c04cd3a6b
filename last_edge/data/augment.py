"""Random changes to a training clip, drawn once for all streams (numpy; points only, the streams follow from them)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.inputs.spec import Points, sample_at, seen_span
from last_edge.skeleton.layout import PLANES, Layout, ancestors, mirror, rotation

Random = np.random.Generator
VERTICAL = 1


@dataclass(frozen=True)
class Augment:
    """Ranges of the random draws; `last_edge.tasks.config.AugmentConfig` says what each means."""

    rotation_deg: float = 0.0
    tilt_deg: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    crop: float = 1.0
    warp: float = 0.0
    mirror: float = 0.0
    mask: float = 0.0
    bones: float = 0.0


@dataclass(frozen=True)
class Draw:
    """What is done to one clip. `last_edge.data.dataset` does the same to a batch; a test holds both equal.

    positions: (frames,) fractional frames of the clip. matrix: (C, C), applied as points @ matrix.T. hidden: (V,)
    whether a joint is missing. lengths: (V,) factor of the bone that ends in each joint.
    """

    positions: NDArray[np.float64]
    mirrored: bool
    matrix: Points
    hidden: NDArray[np.bool_]
    lengths: Points


def augment(points: Points, *, frames: int, layout: Layout, ranges: Augment, random: Random) -> Points:
    """(M, T', V, C) -> (M, frames, V, C): crop and warp in time, then mirror to hidden joints."""
    return apply(points, draw(points, frames=frames, layout=layout, ranges=ranges, random=random), layout=layout)


def draw(points: Points, *, frames: int, layout: Layout, ranges: Augment, random: Random) -> Draw:
    """Random changes for a clip (M, T', V, C)."""
    first, last = seen_span(points)
    share = random.uniform(ranges.crop, 1.0)
    start = random.uniform(0.0, 1.0 - share)
    positions = first + (start + share * warped(frames, random.uniform(-ranges.warp, ranges.warp))) * (last - first)
    mirrored = random.random() < ranges.mirror
    matrix = _matrix(points.shape[-1], ranges, random)
    joints = points.shape[2]
    hidden = _hidden(joints, random.random() * ranges.mask, layout, random) if ranges.mask else np.zeros(joints, bool)
    lengths = random.uniform(1 - ranges.bones, 1 + ranges.bones, joints) if ranges.bones else np.ones(joints)
    return Draw(positions, mirrored, matrix, hidden, np.asarray(lengths, np.float32))


def apply(points: Points, drawn: Draw, *, layout: Layout) -> Points:
    """(M, T', V, C) -> (M, frames, V, C)."""
    moved = sample_at(points, drawn.positions)
    if drawn.mirrored:
        moved = mirror(moved, layout)
    moved = moved @ drawn.matrix.T
    if (drawn.lengths != 1).any():
        moved = stretch_bones(moved, drawn.lengths, layout)
    if drawn.hidden.any():
        moved[:, :, drawn.hidden] = np.nan
    return moved


def stretch_bones(points: Points, lengths: Points, layout: Layout) -> Points:
    """(..., V, C) points of a body whose bones are `lengths` (V,) times as long, their directions kept.

    Each point moves with the bones between it and its root; a bone with a missing end moves nothing.
    """
    bones = np.nan_to_num(points - points[..., list(layout.parents), :], nan=0.0)
    return np.asarray(points + ancestors(layout) @ (bones * (lengths - 1)[:, None]), np.float32)


def warped(frames: int, bend: float) -> NDArray[np.float64]:
    """(frames,) from 0 to 1, unevenly: a positive bend hurries at first, a negative one at the end."""
    even = np.linspace(0.0, 1.0, frames)
    return np.clip(even + bend * np.sin(np.pi * even) / np.pi, 0.0, 1.0)


def _matrix(axes: int, ranges: Augment, random: Random) -> Points:
    """(C, C) rotation, scale and shear in one matrix; flat clips turn in their plane."""
    tilt, turn = np.deg2rad(ranges.tilt_deg), np.deg2rad(ranges.rotation_deg)
    angles = random.uniform(-1, 1, 3) * [tilt, turn, tilt]
    turned = rotation(angles[VERTICAL], (0, 1), axes=axes)
    if axes == 3:
        about_x, about_y, about_z = (rotation(angle, plane) for angle, plane in zip(angles, PLANES, strict=True))
        turned = about_z @ (about_y @ about_x)
    shear = np.eye(axes) + random.uniform(-ranges.shear, ranges.shear, (axes, axes)) * (1 - np.eye(axes))
    return np.asarray(turned @ shear * random.uniform(1 - ranges.scale, 1 + ranges.scale), np.float32)


def hide_joints(points: Points, share: float, layout: Layout, random: Random) -> Points:
    """Points with `share` of the joints missing in every frame; never those that centre and scale the window."""
    hidden = points.copy()
    hidden[:, :, _hidden(points.shape[2], share, layout, random)] = np.nan
    return hidden


def _hidden(joints: int, share: float, layout: Layout, random: Random) -> NDArray[np.bool_]:
    needed = [*layout.centre, *(joint for end in layout.scale or () for joint in end)]
    may = ~np.isin(np.arange(joints), needed)
    return np.asarray(may & (random.random(joints) < share))
