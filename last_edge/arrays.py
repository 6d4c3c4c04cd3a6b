"""Arrays in files: `.npy` that grows or is memory-mapped, `.npz` with equal bytes for equal content; never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


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
