"""Rotations of hands and cameras: about an axis, between two frames, and a hand's frame from two directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def about_axis(axis: Array, angles: Array) -> Array:
    """Rotation matrices (T, 3, 3) about one unit axis (3,) by angles (T,) in radians (Rodrigues' formula)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angles = np.asarray(angles, np.float64)[:, None, None]
    return np.asarray(np.eye(3) + np.sin(angles) * cross + (1 - np.cos(angles)) * (cross @ cross), np.float64)


def between(start: Array, end: Array, progress: Array) -> Array:
    """Rotations (T, 3, 3) on the shortest way from `start` to `end` (3, 3); progress (T,) in 0..1."""
    axis, angle = _axis_angle(end @ start.T)
    return about_axis(axis, angle * progress) @ start


def hand_frame(fingers: Array, palm: Array) -> Array:
    """(3, 3) with columns away from the thumb, along the fingers, out of the palm; inputs need not be unit."""
    along = fingers / np.linalg.norm(fingers)
    out = palm - (palm @ along) * along
    out = out / np.linalg.norm(out)
    return np.stack([np.cross(along, out), along, out], axis=1)


def tilt(rng: np.random.Generator, spread: float) -> Array:
    """A small random rotation (3, 3); each component of its rotation vector has deviation `spread` radians."""
    vector = rng.normal(0.0, spread, 3)
    angle = float(np.linalg.norm(vector))
    return np.asarray(about_axis(vector / max(angle, 1e-9), np.array([angle]))[0])


def _axis_angle(rotation: Array) -> tuple[Array, float]:
    """Axis and angle in 0..pi; the axis comes from the symmetric part, so that half turns are sound."""
    angle = float(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1.0, 1.0)))
    axis = np.linalg.eigh(rotation + rotation.T)[1][:, -1]
    skew = rotation - rotation.T
    sign = axis @ np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
    return np.asarray(-axis if sign < 0 else axis), angle
