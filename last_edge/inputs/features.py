"""What a model reads of clips: landmarks and, of some models, per-frame features made beforehand by a vision model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError

Features = NDArray[np.float32]
LANDMARKS = "landmarks"
Inputs = Mapping[str, NDArray[np.float32]]
"""What a graph reads of some clips, by its inputs' names, `landmarks` first; clips are every array's first axis."""


@dataclass(frozen=True)
class FeatureInput:
    """What a model reads beside landmarks.

    name: of the features beside a store, and of the graph's second input. frames: F, the window; width: D, numbers a
    frame.
    """

    name: str
    frames: int
    width: int

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name == LANDMARKS:
            raise InputError("not a name for features", expected="a word other than landmarks", got=self.name)
        if min(self.frames, self.width) < 1:
            raise InputError("features need frames and a width", got=(self.frames, self.width))

    @property
    def shape(self) -> tuple[int, int]:
        """One clip: (F, D)."""
        return self.frames, self.width


def feature_input(options: Mapping[str, Any]) -> FeatureInput | None:
    """The second input that a model with these options reads; None for the models that read landmarks alone."""
    if "features" not in options:
        return None
    return FeatureInput(str(options["features"]), int(options["feature_frames"]), int(options["feature_dim"]))


def feature_window(rows: Features, frames: int) -> Features:
    """(F', D) rows -> (frames, D): those nearest to evenly spread places, first and last among them.

    A clip without rows gives NaN, which says missing.
    """
    if not len(rows):
        return np.full((frames, rows.shape[1]), np.nan, np.float32)
    places = np.linspace(0.0, len(rows) - 1, frames)
    return np.asarray(rows[np.floor(places + 0.5).astype(np.int64)], np.float32)


def count_of(inputs: Inputs) -> int:
    """How many clips these are."""
    return len(inputs[LANDMARKS])


def pick(inputs: Inputs, clips: slice) -> dict[str, NDArray[np.float32]]:
    """Some of the clips."""
    return {name: array[clips] for name, array in inputs.items()}


def batches(inputs: Inputs, size: int) -> Iterator[dict[str, NDArray[np.float32]]]:
    """All clips in order, `size` at a time."""
    return (pick(inputs, slice(start, start + size)) for start in range(0, count_of(inputs), size))
