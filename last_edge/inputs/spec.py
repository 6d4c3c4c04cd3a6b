"""`InputSpec`: everything that decides how a clip becomes a model's input. Its sha256 travels with the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from last_edge import records
from last_edge.errors import InputError
from last_edge.skeleton.layout import Layout

Stream = Literal["joint", "velocity", "bone"]


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
