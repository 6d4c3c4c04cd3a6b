"""Arrays on disk that grow by rows and can be read by `np.load` once they are whole."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
FLOAT_BYTES = 4


class RowFiles:
    """float32 arrays `NAME.npy` in a folder, by name their final shape; a context manager.

    Opened again after a kill, all of them are cut back to the whole batches that every one has: `done` rows.
    """

    def __init__(self, folder: Path, shapes: dict[str, Shape], *, batch: int) -> None:
        self.shapes = shapes
        self.paths = {name: folder / f"{name}.npy" for name in shapes}
        self.done = min(_whole_rows(self.paths[name], shape) for name, shape in shapes.items()) // batch * batch
        self._streams: dict[str, IO[bytes]] = {}

    def __enter__(self) -> RowFiles:
        for name, shape in self.shapes.items():
            self._streams[name] = _cut_back(self.paths[name], shape, self.done)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for stream in self._streams.values():
            stream.close()

    def append(self, rows: dict[str, NDArray[Any]]) -> None:
        """Add the same number of rows to every array."""
        for name, stream in self._streams.items():
            stream.write(np.ascontiguousarray(rows[name], "<f4").tobytes())
        self.done += len(next(iter(rows.values())))

    def sync(self) -> None:
        """Force what was added to disk."""
        for stream in self._streams.values():
            stream.flush()
            os.fsync(stream.fileno())


def bytes_of(shape: Shape) -> int:
    """Bytes of a float32 array."""
    return FLOAT_BYTES * math.prod(shape)


def _head(shape: Shape) -> bytes:
    stream = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()


def _whole_rows(path: Path, shape: Shape) -> int:
    """Rows that were written whole; 0 where there is no file, or one of another shape."""
    head = _head(shape)
    if not path.exists():
        return 0
    with path.open("rb") as stream:
        if stream.read(len(head)) != head:
            return 0
    return min((path.stat().st_size - len(head)) // bytes_of(shape[1:]), shape[0])


def _cut_back(path: Path, shape: Shape, rows: int) -> IO[bytes]:
    """The file open for more, with its head and `rows` rows."""
    head = _head(shape)
    stream = path.open("r+b" if path.exists() else "w+b")
    if not rows:
        stream.write(head)
    stream.truncate(len(head) + rows * bytes_of(shape[1:]))
    stream.seek(0, os.SEEK_END)
    return stream
