"""Geometry of a body that its layout decides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from last_edge.skeleton.layout import Layout


def mirror(points: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """(..., V, C) points seen in a mirror at x = 0; missing points stay missing. Twice gives the input back.

    x is reflected at 0, not at the image's middle: callers centre points afterwards. A layout of one hand has no
    pairs, so a left hand becomes a right one.
    """
    mirrored = np.array(points[..., list(layout.mirror), :], np.float32)
    mirrored[..., 0] *= -1
    return mirrored
