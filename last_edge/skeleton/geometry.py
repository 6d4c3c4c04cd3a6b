"""Geometry of a body that its layout decides: its mirror image and its unit of length; rotations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from last_edge.skeleton.layout import Layout

PLANES = ((1, 2), (0, 2), (0, 1))
"""The plane that a turn about x, y or z leaves as it is."""


def mirror(points: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """(..., V, C) points seen in a mirror at x = 0; missing points stay missing. Twice gives the input back.

    x is reflected at 0, not at the image's middle: callers centre points afterwards. A layout of one hand has no
    pairs, so a left hand becomes a right one.
    """
    mirrored = np.array(points[..., list(layout.mirror), :], np.float32)
    mirrored[..., 0] *= -1
    return mirrored


def limb_lengths(body: NDArray[np.floating], layout: Layout) -> NDArray[np.floating]:
    """(T, V, C) points -> (T,) lengths of the layout's `scale` limb; NaN where it is not seen or there is none."""
    if layout.scale is None:
        return np.full(len(body), np.nan, body.dtype)
    one, other = (body[:, list(ends)].mean(axis=1) for ends in layout.scale)
    return np.asarray(np.sqrt(((one - other) ** 2).sum(-1)))


def limb_length(body: NDArray[np.floating], layout: Layout) -> float:
    """Mean length of the limb over the frames of (T, V, C) that show it; NaN where none does or it has no length."""
    lengths = limb_lengths(body, layout)
    seen = lengths[~np.isnan(lengths)]
    return float(seen.mean()) if len(seen) and seen.mean() > 0 else float("nan")


def rotation(angles: NDArray[np.floating] | float, plane: tuple[int, int], *, axes: int = 3) -> NDArray[np.float64]:
    """Rotations (..., axes, axes) within a plane of two axes by angles (...) in radians."""
    angles, (one, other) = np.asarray(angles, np.float64), plane
    turned = np.tile(np.eye(axes), (*angles.shape, 1, 1))
    turned[..., one, one] = turned[..., other, other] = np.cos(angles)
    turned[..., one, other], turned[..., other, one] = -np.sin(angles), np.sin(angles)
    return turned
