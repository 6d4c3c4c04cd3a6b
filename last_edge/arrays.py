"""Arrays in files: `.npy` that grows or is memory-mapped, `.npz` with equal bytes for equal content; never a pickle."""

import io
import math
import tokenize
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError
from last_edge.files import DAMAGED_ARCHIVE

EPOCH = (1980, 1, 1, 0, 0, 0)
LARGEST_HEADER = 1024
"""Bytes of a `.npy` header, which numpy parses as Python; a longer one may exhaust the parser."""
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An uncompressed `.npz` without dates: equal arrays give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), member.getvalue())
    return buffer.getvalue()


def read_npz(source: Path | bytes, *, where: object, what: str, hint: str | None = None) -> dict[str, NDArray[Any]]:
    """Every array of a `.npz` by name; `InputError` that says `what` where it is damaged or a pickle."""
    arrays: dict[str, NDArray[Any]] = {}
    place = str(where)
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                place = f"{where} › {name}"
                with archive.open(info) as stream:
                    _check_header(stream, info.file_size)
                with archive.open(info) as stream:
                    arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
    except DAMAGED_ARCHIVE as error:
        raise InputError(what, where=place, got=error, hint=hint) from error
    return arrays


def map_npy(
    path: Path, dtype: type[np.generic], *, of: str, shape: tuple[int, ...] | None = None, hint: str | None = None
) -> NDArray[Any]:
    """A `.npy` file, memory-mapped; `InputError` names it and what it is part `of` when it is damaged or another."""
    try:
        with path.open("rb") as stream:
            _check_header(stream, path.stat().st_size)
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise InputError(f"{of}: damaged array", where=path, got=error, hint=hint) from error
    if array.dtype != dtype or shape not in (None, array.shape):
        expected = f"{dtype.__name__} {shape or ''}".rstrip()
        got = f"{array.dtype} {array.shape}"
        raise InputError(f"{of}: array does not fit the header", where=path, expected=expected, got=got, hint=hint)
    return array


def _check_header(stream: IO[bytes], size: int) -> None:
    """`ValueError` unless a `.npy` of `size` bytes is plain numbers, as many as its header says.

    So that neither a pickle is read nor memory reserved for what is not there.
    """
    try:
        header = HEADERS[np.lib.format.read_magic(stream)]
        shape, _, dtype = header(stream, max_header_size=LARGEST_HEADER)
    except (KeyError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise ValueError(f"damaged header: {error}") from error
    if dtype.hasobject:
        raise ValueError("a pickle is never read")
    if math.prod(shape) * dtype.itemsize != size - stream.tell():
        raise ValueError(f"not the size of {dtype} {shape}")


class GrowingArray:
    """A `.npy` file that grows along its first axis; numpy pads headers so that the length fits in later."""

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self.dtype = np.dtype(dtype)
        self.length = 0
        self.row: tuple[int, ...] | None = None
        self._stream: BinaryIO = path.open("wb")

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows (n, ...) of one shape."""
        if self.row is None:
            self.row = rows.shape[1:]
            self._write_header()
        self._stream.write(np.ascontiguousarray(rows, self.dtype).tobytes())
        self.length += len(rows)

    def close(self) -> None:
        """Put the final length into the header."""
        if self.row is not None and not self._stream.closed:
            self._stream.seek(0)
            self._write_header()
        self._stream.close()

    def _write_header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self.dtype)
        shape = (self.length, *(self.row or ()))
        header = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, header)
