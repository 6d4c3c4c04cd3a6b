"""`InputSpec`: everything that decides how a clip becomes a model's input. Its sha256 travels with the weights.

Here a clip becomes a window of as many frames, in numpy; `last_edge.models.front` does the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.errors import InputError
from last_edge.skeleton.layout import Layout

Stream = Literal["joint", "velocity", "bone"]
Points = NDArray[np.float32]


@dataclass(frozen=True)
class InputSpec:
    """How points become model input.

    layout: joint order, tree, centre and scale ends; whole, so that an artefact needs no other file.
    frames: T, the window the model sees. channels: C, axes a point has. bodies: M.
    resample: `linear` stretches the span between first and last seen frame to T frames. `pad` keeps the frames as they
    are, T of them at most, for models of sentences: T is then the most they take.
    centre: `first` subtracts body 0's centre of the first frame that has one; `frame` each frame's own; `none`.
    scale: `limb` divides by the mean length of `layout.scale` over the frames of body 0 that show it; `frame` each
    frame by its own length, by that mean where it has none; `none`. For people in a picture `frame` with centre `frame`
    puts every frame's shoulders at the same place.
    missing: `origin` puts a missing point at the centre with no velocity and no bone.
    streams: what the model reads, in channel order.
    """

    layout: Layout
    frames: int = 64
    channels: int = 3
    bodies: int = 1
    resample: Literal["linear", "pad"] = "linear"
    centre: Literal["first", "frame", "none"] = "first"
    scale: Literal["limb", "frame", "none"] = "none"
    missing: Literal["origin"] = "origin"
    streams: tuple[Stream, ...] = ("joint", "velocity", "bone")
    schema_version: int = 1

    def __post_init__(self) -> None:
        if min(self.frames, self.channels, self.bodies) < 1 or not self.streams:
            raise InputError("an input needs frames, channels, bodies and streams", got=self.shape)
        if self.scale != "none" and self.layout.scale is None:
            raise InputError(f"scale {self.scale!r} needs a layout with `scale` joints", where=self.layout.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """One clip as the graph takes it: (T, V, C), or (M, T, V, C) for more than one body."""
        points = (self.frames, self.layout.joints, self.channels)
        return points if self.bodies == 1 else (self.bodies, *points)

    @property
    def sha256(self) -> str:
        """Identity of this specification; artefacts with another one refuse to load."""
        return records.digest(self)


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
