"""A 21-point hand: rotations, joint angles to points in MediaPipe order, and the table of handshapes."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Lengths in hand lengths (wrist to middle finger tip); columns index, middle, ring, pinky.
KNUCKLE_SIDE = np.array([0.13, 0.02, -0.085, -0.175])
KNUCKLE_ALONG = np.array([0.50, 0.51, 0.475, 0.42])
PHALANGES = np.array([[0.24, 0.14, 0.11], [0.26, 0.16, 0.11], [0.24, 0.15, 0.11], [0.19, 0.11, 0.10]])
FAN = np.array([0.30, 0.07, -0.15, -0.36])
THUMB_BASE = np.array([0.13, 0.13, 0.03])
THUMB_BONES = np.array([0.22, 0.17, 0.14])
DISTAL_SHARE = 0.65
PALM_CENTRE = 0.45

# Finger flexion (knuckle, middle joint) in radians.
_STRAIGHT, _CURLED, _HOOKED, _BENT, _ROUND = (0.05, 0.08), (1.40, 1.75), (0.35, 1.25), (1.35, 0.10), (0.85, 0.95)
# Thumb: (angle from the fingers towards its side, lift out of the palm, bend of its two joints).
_TUCKED, _OUT, _ACROSS, _MEETS = (
    (0.25, 0.15, 0.05, 0.05), (1.15, 0.10, 0.0, 0.0), (0.6, 0.7, 0.9, 0.8), (0.45, 0.95, 0.3, 0.35),
)  # fmt: skip


def _shape(fingers: tuple[tuple[float, float], ...], spread: float, thumb: tuple[float, float, float, float]) -> Array:
    knuckles, middles = zip(*fingers, strict=True)
    return np.array([*knuckles, *middles, spread, *thumb])


# Joint angles (13,): four knuckles, four middle joints, spread 0..1, four of the thumb.
HANDSHAPES: dict[str, Array] = {
    "flat": _shape((_STRAIGHT,) * 4, 0.0, _TUCKED),
    "spread": _shape((_STRAIGHT,) * 4, 1.0, _OUT),
    "fist": _shape((_CURLED,) * 4, 0.0, _ACROSS),
    "point": _shape((_STRAIGHT, _CURLED, _CURLED, _CURLED), 0.0, _ACROSS),
    "vee": _shape((_STRAIGHT, _STRAIGHT, _CURLED, _CURLED), 1.0, _ACROSS),
    "claw": _shape((_HOOKED,) * 4, 0.9, (1.0, 0.5, 0.3, 0.4)),
    "ell": _shape((_STRAIGHT, _CURLED, _CURLED, _CURLED), 0.0, _OUT),
    "thumb": _shape((_CURLED,) * 4, 0.0, _OUT),
    "wye": _shape((_CURLED, _CURLED, _CURLED, _STRAIGHT), 0.8, _OUT),
    "horns": _shape((_STRAIGHT, _CURLED, _CURLED, _STRAIGHT), 0.3, _ACROSS),
    "ring": _shape((_ROUND, _STRAIGHT, _STRAIGHT, _STRAIGHT), 0.8, _MEETS),
    "bent": _shape((_BENT,) * 4, 0.0, _TUCKED),
}
RELAXED = _shape(((0.35, 0.45), (0.4, 0.5), (0.45, 0.55), (0.5, 0.6)), 0.25, (0.55, 0.3, 0.15, 0.15))
FIST = HANDSHAPES["fist"]


def hand_points(angles: Array) -> Array:
    """Joint angles (T, 13) -> (T, 21, 3) points of a hand of length 1 with the wrist at the origin.

    Axes are those of `hand_frame`: away from the thumb, along the fingers, out of the palm.
    """
    points = np.zeros((len(angles), 21, 3))
    points[:, 1:5] = _thumb(angles[:, 9:])
    knuckles, middles, spread = angles[:, :4], angles[:, 4:8], angles[:, 8:9]
    points[:, 5:] = _fingers(knuckles, middles, FAN * spread).reshape(len(angles), 16, 3)
    return points


def _fingers(knuckles: Array, middles: Array, fan: Array) -> Array:
    """Flexions (T, 4) and fan angles (T, 4) -> (T, 4 fingers, 4 points, 3)."""
    bends = np.stack([knuckles, knuckles + middles, knuckles + middles * (1 + DISTAL_SHARE)], axis=-1)
    along = np.cos(bends)
    steps = np.stack([-along * np.sin(fan)[..., None], along * np.cos(fan)[..., None], np.sin(bends)], axis=-1)
    chain = np.cumsum(steps * PHALANGES[..., None], axis=2)
    root = np.stack([-KNUCKLE_SIDE, KNUCKLE_ALONG, np.zeros(4)], axis=-1)[None, :, None]
    return np.concatenate([np.broadcast_to(root, (len(fan), 4, 1, 3)), root + chain], axis=2)


def _thumb(angles: Array) -> Array:
    """Side angle, lift and two bends (T, 4) -> (T, 4 points, 3); bending carries the thumb across the palm."""
    side, lift, first, second = angles.T
    turns = np.stack([side, side - first, side - first - second], axis=-1)
    flat = np.cos(lift)[:, None]
    rise = np.broadcast_to(np.sin(lift)[:, None], turns.shape)
    steps = np.stack([-flat * np.sin(turns), flat * np.cos(turns), rise], axis=-1)
    root = np.array([-THUMB_BASE[0], THUMB_BASE[1], THUMB_BASE[2]])
    chain = np.cumsum(steps * THUMB_BONES[:, None], axis=1)
    return np.concatenate([np.broadcast_to(root, (len(angles), 1, 3)), root + chain], axis=1)


def about_axis(axis: Array, angles: Array) -> Array:
    """Rotation matrices (T, 3, 3) about one unit axis (3,) by angles (T,) in radians (Rodrigues' formula)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angles = np.asarray(angles, np.float64)[:, None, None]
    return np.asarray(np.eye(3) + np.sin(angles) * cross + (1 - np.cos(angles)) * (cross @ cross), np.float64)


def between(start: Array, end: Array, progress: Array) -> Array:
    """Rotations (T, 3, 3) on the shortest way from `start` to `end` (3, 3); progress (T,) in 0..1."""
    way = end @ start.T
    angle = float(np.arccos(np.clip((np.trace(way) - 1) / 2, -1.0, 1.0)))
    # The axis comes from the symmetric part, its sign from the other, so that half turns are sound.
    axis, skew = np.linalg.eigh(way + way.T)[1][:, -1], way - way.T
    sign = axis @ np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
    axis = np.asarray(-axis if sign < 0 else axis)
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
