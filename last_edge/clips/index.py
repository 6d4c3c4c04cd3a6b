"""`index.parquet`: one row a clip, as numpy columns."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError, MissingError
from last_edge.files import writing

NUMBERS = {"offset": np.int64, "length": np.int64, "label": np.int64, "fps": np.float64}
LATER = ("text",)
"""Columns that older stores lack; neither written nor part of the identity while every value is empty."""


@dataclass(frozen=True, eq=False)
class ClipIndex:
    """Columns over the clips, all (N,).

    offset, length: the clip's rows of `frames.npy`. label: index into the store's labels, -1 when unlabelled.
    split: "train", "val", "test", or "" where the dataset names none. fps: frames a second.
    text: the sentence that is signed, "" where none is known.
    """

    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    label: NDArray[np.int64]
    fps: NDArray[np.float64]
    subject: NDArray[np.object_]
    split: NDArray[np.object_]
    camera: NDArray[np.object_]
    setup: NDArray[np.object_]
    source_id: NDArray[np.object_]
    text: NDArray[np.object_]

    @classmethod
    def from_rows(cls, rows: list[dict[str, Any]]) -> ClipIndex:
        """Columns from one dictionary a clip, which may lack those of `LATER`."""
        absent = dict.fromkeys(LATER, "")
        names = [item.name for item in fields(cls)]
        return cls(**{name: _column(name, [(absent | row)[name] for row in rows]) for name in names})

    def __len__(self) -> int:
        return len(self.offset)

    def columns(self) -> dict[str, list[Any]]:
        """Every column as a list, those of `LATER` only where they say something."""
        columns = {item.name: getattr(self, item.name).tolist() for item in fields(self)}
        return {name: values for name, values in columns.items() if name not in LATER or any(values)}

    def digest(self) -> str:
        """sha256 of the values."""
        return hashlib.sha256(json.dumps(self.columns(), sort_keys=True).encode()).hexdigest()


def _column(name: str, values: list[Any]) -> NDArray[Any]:
    return np.array(values, dtype=NUMBERS.get(name, np.object_))


def write_index(index: ClipIndex, path: Path) -> None:
    """Write the index as parquet."""
    arrow, parquet = _pyarrow()
    with writing(path) as stream:
        parquet.write_table(arrow.table(index.columns()), stream)


def read_index(path: Path) -> ClipIndex:
    """Read `index.parquet`; `InputError` names the file when it is absent, damaged or of other columns."""
    arrow, parquet = _pyarrow()
    if not path.is_file():
        raise InputError("clip store: file is missing", where=path)
    try:
        columns = parquet.ParquetFile(path).read().to_pydict()
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise InputError("clip store: damaged index", where=path, got=str(error).splitlines()[0]) from error
    names = [item.name for item in fields(ClipIndex)]
    columns = {name: [""] * len(next(iter(columns.values()), [])) for name in LATER} | columns
    if sorted(columns) != sorted(names):
        raise InputError("clip store: wrong index columns", where=path, expected=names, got=sorted(columns))
    try:
        return ClipIndex(**{name: _column(name, columns[name]) for name in names})
    except (TypeError, ValueError) as error:
        raise InputError("clip store: wrong type in the index", where=path, got=error) from error


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingError("clip stores need pyarrow", hint="pip install 'last-edge[train]'") from error
    return pyarrow, parquet
