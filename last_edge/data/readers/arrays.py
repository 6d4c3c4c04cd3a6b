"""Reading `.npz` files from outside: arrays only, never a pickle."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.damage import DAMAGE
from last_edge.errors import InputError


def load_arrays(content: bytes, where: str) -> dict[str, NDArray[Any]]:
    """Every array of a `.npz`; `InputError` names a damaged file, a pickle, and a member that would need one."""
    if not content.startswith(b"PK"):
        what = "a pickle is never read" if content[:1] == b"\x80" else "not a .npz file"
        raise InputError(what, where=where, hint="numpy.savez(file, frames=..., lengths=..., labels=...)")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: _member(archive, name, where) for name in archive.files}
    except DAMAGE as error:
        raise InputError("damaged .npz file", where=where, got=error) from error


def _member(archive: Any, name: str, where: str) -> NDArray[Any]:
    try:
        array = archive[name]
    except ValueError as error:
        what = "a pickle is never read" if "allow_pickle" in str(error) else "damaged array"
        raise InputError(what, where=f"{where} › {name}", hint="store plain numbers and strings") from error
    if not isinstance(array, np.ndarray):
        raise InputError("not an array", where=f"{where} › {name}")
    return array


def need(arrays: dict[str, NDArray[Any]], name: str, where: str) -> NDArray[Any]:
    """An array that must be there; `InputError` lists what is."""
    if name not in arrays:
        raise InputError(f"array {name!r} is absent", where=where, got=", ".join(sorted(arrays)))
    return arrays[name]


def check_lengths(lengths: NDArray[Any], total: int, where: str) -> NDArray[np.int64]:
    """(N,) frames of each clip, checked to be whole numbers that add up to `total`."""
    if lengths.ndim != 1 or not np.issubdtype(lengths.dtype, np.integer) or (lengths < 1).any():
        raise InputError("lengths must be whole numbers above 0", where=where, got=f"{lengths.dtype} {lengths.shape}")
    if int(lengths.sum()) != total:
        raise InputError("lengths do not add up to the frames", where=where, expected=total, got=int(lengths.sum()))
    return lengths.astype(np.int64)
