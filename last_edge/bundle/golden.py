"""Golden tensors: inputs and the outputs every backend must reproduce, in `golden.npz`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from last_edge.arrays import npz_bytes, read_npz
from last_edge.errors import InputError
from last_edge.inputs.features import LANDMARKS, FeatureInput, Inputs

POINTS = "points"
INPUT = "input."
STATE = "state."


@dataclass(frozen=True)
class Golden:
    """inputs: float32, `landmarks` (n, T, V, C) or (n, M, T, V, C), NaN where missing, and what else the model reads.

    logits: float32 (n, K) by precision. In the file landmarks are called `points`, other inputs `input.NAME`.
    states: of a model that answers at every frame, the tensors (n, ...) that follow each clip's last frame; its logits
    are (n * T, K), frame by frame of one clip after the other. In the file `state.NAME`.
    """

    inputs: Inputs
    logits: dict[str, NDArray[np.float32]]
    states: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def points(self) -> NDArray[np.float32]:
        """The landmarks."""
        return self.inputs[LANDMARKS]

    def to_bytes(self) -> bytes:
        """An uncompressed `.npz`; equal tensors give equal bytes."""
        others = {f"{INPUT}{name}": array for name, array in self.inputs.items() if name != LANDMARKS}
        states = {f"{STATE}{name}": array for name, array in self.states.items()}
        logits = {name: self.logits[name] for name in sorted(self.logits)}
        arrays = {POINTS: self.points, **others, **states, **logits}
        return npz_bytes({name: np.asarray(array, np.float32) for name, array in arrays.items()})

    @classmethod
    def from_bytes(cls, content: bytes, *, where: object) -> Golden:
        """Read without pickle; `InputError` when it is not plain float32 tensors that fit each other."""
        arrays = read_npz(content, where=where, what="golden tensors cannot be read")
        points = arrays.pop(POINTS, None)
        if points is None or points.ndim not in (4, 5):
            raise InputError("golden tensors need `points` (n, T, V, C)", where=where, got=sorted(arrays))
        named = {name: arrays.pop(name) for name in list(arrays) if name.startswith(STATE)}
        answers = len(points) * (points.shape[1] if named else 1)
        for name, array in {POINTS: points, **named, **arrays}.items():
            is_logits = name in arrays and not name.startswith(INPUT)
            fits = len(array) == (answers if is_logits else len(points)) and (array.ndim == 2 or not is_logits)
            if array.dtype != np.float32 or not fits:
                raise InputError(
                    f"golden tensor {name!r} does not fit", where=where, got=f"{array.dtype} {array.shape}"
                )
        others = [name for name in arrays if name.startswith(INPUT)]
        if len(others) > 1 or any(arrays[name].ndim != 3 for name in others):
            raise InputError("golden tensors of no second input", where=where, got=others)
        read = [FeatureInput(name.removeprefix(INPUT), *arrays[name].shape[1:]).name for name in others]
        features = dict(zip(read, map(arrays.pop, others), strict=True))
        states = {name.removeprefix(STATE): array for name, array in named.items()}
        return cls({LANDMARKS: points, **features}, arrays, states)
