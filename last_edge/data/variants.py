"""Variants of a recorded clip, made once and kept: how else the same sign could have been signed, seen and tracked.

A clip is `packed` here: (M, T, V, C + 1), its points and behind them their confidence, NaN and 0 where missing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from last_edge.data.augment import Random, hide_joints
from last_edge.inputs.transforms import Points, sample_at
from last_edge.skeleton.layout import Layout
from last_edge.skeleton.mirror import mirror

Change = Callable[[Points, Layout, Random], Points]
HANDS = ("left_hand", "right_hand")
LARGEST_ANGLE = LARGEST_SHEAR = 0.12
LARGEST_VIEW = 0.15
NOISES = (0.01, 0.02, 0.03)
SHIFT, SIZE, SPEED, WARP, HIDDEN = (0.1, 0.3), (0.7, 1.5), (0.5, 1.8), (0.2, 0.5), (0.15, 0.35)
PROPORTION = 0.15


def kinds_for(layout: Layout, axes: int, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The kinds of change that a layout and its axes allow, in the order of `KINDS`."""
    lacking = {"drop_hand"} if not set(HANDS) <= set(layout.parts) else set()
    lacking |= {"view"} if axes < 3 else set()
    return tuple(name for name in KINDS if name not in lacking and name not in without)


def make_variant(packed: Points, layout: Layout, number: int, kinds: tuple[str, ...], random: Random) -> Points:
    """Variant `number` of a clip: the kinds in turn; from the second round on a second kind is drawn to it."""
    names = [kinds[number % len(kinds)]]
    if number >= len(kinds) > 1:
        names.append(str(random.choice([name for name in kinds if name not in names])))
    for name in names:
        packed = KINDS[name](packed, layout, random)
    return np.asarray(packed, np.float32)


def _shear(packed: Points, layout: Layout, random: Random) -> Points:
    matrix = np.eye(packed.shape[-1] - 1)
    matrix[0, 1] = random.uniform(-LARGEST_SHEAR, LARGEST_SHEAR)
    return _turned(packed, layout, matrix)


def _turn(packed: Points, layout: Layout, random: Random) -> Points:
    """About the axis towards the camera."""
    return _turned(packed, layout, _rotation(packed.shape[-1] - 1, (0, 1), random, LARGEST_ANGLE))


def _view(packed: Points, layout: Layout, random: Random) -> Points:
    """From a camera further to one side, above or below."""
    sideways, upwards = (_rotation(3, plane, random, LARGEST_VIEW) for plane in ((0, 2), (1, 2)))
    return _turned(packed, layout, sideways @ upwards)


def _mirror(packed: Points, layout: Layout, random: Random) -> Points:
    """In a mirror: left hands become right hands, points and all."""
    return mirror(packed, layout)


def _noise(packed: Points, layout: Layout, random: Random) -> Points:
    shape = packed[..., :-1].shape
    return _moved(packed, random.normal(0, float(random.choice(NOISES)) * unit_of(packed, layout), shape))


def _shift(packed: Points, layout: Layout, random: Random) -> Points:
    axes = packed.shape[-1] - 1
    return _moved(packed, random.uniform(*SHIFT, axes) * random.choice([-1, 1], axes) * unit_of(packed, layout))


def _scale(packed: Points, layout: Layout, random: Random) -> Points:
    return _turned(packed, layout, np.eye(packed.shape[-1] - 1) * random.uniform(*SIZE))


def _speed(packed: Points, layout: Layout, random: Random) -> Points:
    frames = packed.shape[1]
    return sample_at(packed, np.linspace(0, frames - 1, max(2, round(frames / random.uniform(*SPEED)))))


def _warp(packed: Points, layout: Layout, random: Random) -> Points:
    """Fast first and slow then, or the other way round."""
    even = np.linspace(0, 1, packed.shape[1])
    bend = random.uniform(*WARP) * random.choice([-1, 1])
    return sample_at(packed, np.clip(even + bend * np.sin(np.pi * even) / np.pi, 0, 1) * (packed.shape[1] - 1))


def _occlude(packed: Points, layout: Layout, random: Random) -> Points:
    return hide_joints(packed, random.uniform(*HIDDEN), layout, random)


def _drop_hand(packed: Points, layout: Layout, random: Random) -> Points:
    dropped = packed.copy()
    dropped[:, :, list(layout.parts[str(random.choice(HANDS))])] = np.nan
    return dropped


def _proportions(packed: Points, layout: Layout, random: Random) -> Points:
    """Of another signer: every bone longer or shorter, the same on both sides; what hangs from it moves along."""
    parents, twins = list(layout.parents), np.minimum(np.arange(layout.joints), layout.mirror)
    change = random.uniform(-PROPORTION, PROPORTION, layout.joints)[twins]
    bones = packed[..., :-1] - packed[:, :, parents, :-1]
    own = np.nan_to_num(bones, nan=0.0) * change[:, None]
    moved, above = own.copy(), list(parents)
    while above != [parents[joint] for joint in above]:
        moved += own[:, :, above]
        above = [parents[joint] for joint in above]
    return _moved(packed, moved)


KINDS: dict[str, Change] = {
    "shear": _shear,
    "turn": _turn,
    "mirror": _mirror,
    "noise": _noise,
    "shift": _shift,
    "scale": _scale,
    "speed": _speed,
    "occlude": _occlude,
    "drop_hand": _drop_hand,
    "warp": _warp,
    "proportions": _proportions,
    "view": _view,
}


def unit_of(packed: Points, layout: Layout) -> float:
    """Mean length of the scale limb of body 0 where it is seen; else, or where there is none, the clip's spread."""
    body = packed[0, ..., :-1]
    if layout.scale is not None:
        one, other = (body[:, list(ends)].mean(axis=1) for ends in layout.scale)
        lengths = np.linalg.norm(one - other, axis=-1)
        if np.isfinite(lengths).any() and np.nanmean(lengths) > 0:
            return float(np.nanmean(lengths))
    return float(np.nanstd(packed[..., :-1])) or 1.0


def _moved(packed: Points, step: NDArray[np.floating]) -> Points:
    return np.concatenate([packed[..., :-1] + step, packed[..., -1:]], axis=-1, dtype=np.float32)


def _turned(packed: Points, layout: Layout, matrix: NDArray[np.float64]) -> Points:
    """Points times a (C, C) matrix about the mean place of body 0's centre."""
    centre = packed[0, :, list(layout.centre), :-1].reshape(-1, packed.shape[-1] - 1)
    seen = centre[~np.isnan(centre).any(axis=1)]
    pivot = seen.mean(axis=0) if len(seen) else np.nanmean(packed[..., :-1], axis=(0, 1, 2))
    points = (packed[..., :-1] - pivot) @ matrix.T + pivot
    return np.concatenate([points, packed[..., -1:]], axis=-1, dtype=np.float32)


def _rotation(axes: int, plane: tuple[int, int], random: Random, largest: float) -> NDArray[np.float64]:
    """(axes, axes) rotation within a plane by up to `largest` radians either way."""
    angle, (one, other) = random.uniform(-largest, largest), plane
    turned = np.eye(axes)
    turned[[one, other], [one, other]] = np.cos(angle)
    turned[one, other], turned[other, one] = -np.sin(angle), np.sin(angle)
    return turned
