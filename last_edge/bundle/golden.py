"""Golden tensors: inputs and the outputs every backend must reproduce, in `golden.npz`."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.damage import DAMAGE
from last_edge.errors import InputError
from last_edge.inputs.features import LANDMARKS, FeatureInput, inputs_of, packed

POINTS = "points"
INPUT = "input."
EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Golden:
    """points: float32 (n, T, V, C) or (n, M, T, V, C), NaN where missing. logits: float32 (n, K) by precision.

    Of a model with a second input `points` are records of both (see `last_edge.inputs.features.packed`); in the file
    they are `points` and `input.NAME`.
    """

    points: NDArray[Any]
    logits: dict[str, NDArray[np.float32]]

    def to_bytes(self) -> bytes:
        """An uncompressed `.npz`; equal tensors give equal bytes."""
        inputs = inputs_of(self.points)
        arrays = {POINTS: inputs.pop(LANDMARKS)} | {f"{INPUT}{name}": array for name, array in inputs.items()}
        arrays |= {name: self.logits[name] for name in sorted(self.logits)}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                member = io.BytesIO()
                np.lib.format.write_array(member, np.ascontiguousarray(array, np.float32), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), member.getvalue())
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, *, where: object) -> Golden:
        """Read without pickle; `InputError` when it is not plain float32 tensors that fit each other."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except DAMAGE as error:
            raise InputError("golden tensors cannot be read", where=where, got=error) from error
        points = arrays.pop(POINTS, None)
        if points is None or points.ndim not in (4, 5):
            raise InputError("golden tensors need `points` (n, T, V, C)", where=where, got=sorted(arrays))
        for name, array in {POINTS: points, **arrays}.items():
            if array.dtype != np.float32 or len(array) != len(points) or (_is_logits(name) and array.ndim != 2):
                raise InputError(
                    f"golden tensor {name!r} does not fit", where=where, got=f"{array.dtype} {array.shape}"
                )
        return cls(_with_features(points, arrays, where=where), arrays)


def _is_logits(name: str) -> bool:
    return name != POINTS and not name.startswith(INPUT)


def _with_features(points: NDArray[np.float32], arrays: dict[str, NDArray[Any]], *, where: object) -> NDArray[Any]:
    """The points, packed with what else the model reads, which leaves `arrays`."""
    named = [name for name in arrays if name.startswith(INPUT)]
    if not named:
        return points
    rows = arrays.pop(named[0])
    if len(named) > 1 or rows.ndim != 3:
        raise InputError("golden tensors of no second input", where=where, got=named)
    return packed(points, rows, FeatureInput(named[0].removeprefix(INPUT), *rows.shape[1:]))
