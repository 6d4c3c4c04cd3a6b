"""A model's second input: per-frame features of a clip that were made beforehand, such as a vision model's. numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError

Features = NDArray[np.float32]
LANDMARKS = "landmarks"


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


def packed(points: NDArray[np.float32], features: Features, wanted: FeatureInput) -> NDArray[Any]:
    """Clips of a two-input model as one array (N,) of records with the fields `landmarks` and the features' name."""
    kind = np.dtype([(LANDMARKS, np.float32, points.shape[1:]), (wanted.name, np.float32, wanted.shape)])
    batch = np.empty(len(points), kind)
    batch[LANDMARKS], batch[wanted.name] = points, features
    return batch


def inputs_of(batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    """A batch by the graph's input names: points alone, or the fields of `packed` records."""
    if batch.dtype.names is None:
        return {LANDMARKS: batch}
    return {name: np.ascontiguousarray(batch[name]) for name in batch.dtype.names}


def landmarks_of(batch: NDArray[Any]) -> NDArray[np.float32]:
    """The points of a batch, whether other inputs are packed with them or not."""
    return inputs_of(batch)[LANDMARKS]
