"""Reading a clip store: memory-mapped points, an index and a header; opens in milliseconds at any size.

`index.parquet` has one row a clip; `store.json` says what the store holds, with the hashes that prove it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.arrays import map_npy
from last_edge.clips.parquet import NotRead, read_columns, write_columns
from last_edge.errors import InputError, MissingError
from last_edge.files import recover, sha256_of, writing
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import ABOUT, Annotation, SkeletonClip, Units, fault_of_spans

NUMBERS = {"offset": np.int64, "length": np.int64, "label": np.int64, "fps": np.float64}
LATER = ("text", "spans")
"""Columns that older stores lack; neither written nor part of the identity while every value is empty."""
HEADER = "store.json"
FRAMES = "frames.npy"
CONFIDENCE = "confidence.npy"
INDEX = "index.parquet"
READERS = {
    ".npz": "npz {path} --layout LAYOUT", ".skeleton": "ntu {path}", ".pose": "pose {path}",
    **dict.fromkeys((".mp4", ".mov", ".avi", ".webm", ".mkv"), "videos {path}"),
}  # fmt: skip
"""What reads recordings with this ending."""


@dataclass(frozen=True, eq=False)
class ClipIndex:
    """Columns over the clips, all (N,).

    offset, length: the clip's rows of `frames.npy`. label: index into the store's labels, -1 when unlabelled.
    split: "train", "val", "test", or "" where the dataset names none. fps: frames a second.
    text: the sentence that is signed, "" where none is known.
    spans: int64 (S, 3) of each clip: label, first and last frame of what a long recording shows; in the file these
    numbers one after another, as text.
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
    spans: NDArray[np.object_]

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
        columns["spans"] = [" ".join(map(str, spans.ravel().tolist())) for spans in self.spans]
        return {name: values for name, values in columns.items() if name not in LATER or any(values)}

    def digest(self) -> str:
        """sha256 of the values."""
        return hashlib.sha256(json.dumps(self.columns(), sort_keys=True).encode()).hexdigest()


def _column(name: str, values: list[Any]) -> NDArray[Any]:
    if name == "spans":
        column = np.empty(len(values), np.object_)
        for place, spans in enumerate(values):
            numbers = spans.split() if isinstance(spans, str) else spans
            column[place] = np.array(numbers, np.int64).reshape(-1, 3)
        return column
    return np.array(values, dtype=NUMBERS.get(name, np.object_))


def write_index(index: ClipIndex, path: Path) -> None:
    """Write the index as parquet."""
    with writing(path) as stream:
        stream.write(write_columns(index.columns()))


def read_index(path: Path, *, clips: int) -> ClipIndex:
    """Read `index.parquet` of so many clips; `InputError` names the file when it is absent, damaged or of other
    columns."""
    if not path.is_file():
        raise InputError("clip store: file is missing", where=path)
    content = path.read_bytes()
    try:
        columns = read_columns(content, rows=clips)
    except NotRead:
        columns = _by_pyarrow(content, path)
    except ValueError as error:
        raise InputError("clip store: damaged index", where=path, got=error) from error
    names = [item.name for item in fields(ClipIndex)]
    count = len(next(iter(columns.values()), []))
    columns = {name: [""] * count for name in LATER} | columns
    if sorted(columns) != sorted(names):
        raise InputError("clip store: wrong index columns", where=path, expected=names, got=sorted(columns))
    try:
        return ClipIndex(**{name: _column(name, columns[name]) for name in names})
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("clip store: wrong type in the index", where=path, got=error) from error


def _by_pyarrow(content: bytes, path: Path) -> dict[str, list[Any]]:
    """An index that another program wrote, with compressions and encodings of its own."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        what = "this index was written by another program and needs pyarrow"
        raise MissingError(what, where=path, hint="pip install pyarrow") from error
    try:
        return dict(parquet.ParquetFile(pyarrow.BufferReader(content)).read().to_pydict())
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError("clip store: damaged index", where=path, got=str(error).splitlines()[0]) from error


@dataclass(frozen=True)
class StoredFile:
    """One file of the store: its size in bytes and sha256."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> StoredFile:
        """Measure a file."""
        return cls(path.stat().st_size, sha256_of(path))


def check_hashes(folder: Path, files: Mapping[str, StoredFile], *, of: str) -> None:
    """Hash files; `InputError` names the first that has changed and what it is part `of`."""
    for name, stored in files.items():
        if (got := StoredFile.of(folder / name)) != stored:
            where, expected = folder / name, stored.sha256
            raise InputError(f"{of}: bytes have changed", where=where, expected=expected, got=got.sha256)


@dataclass(frozen=True)
class StoreHeader:
    """The store's description.

    shape: (ΣT, M, V, C) of `frames.npy`. labels: class names, a clip's label is an index into them.
    content_sha256: identity of points, confidences, index, layout, units and labels, whatever `about` says.
    about: name and licence of the source, direction of the axes, options of the preparation.
    """

    layout: Layout
    units: Units
    labels: tuple[str, ...]
    clips: int
    shape: tuple[int, ...]
    files: dict[str, StoredFile]
    content_sha256: str
    about_sha256: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    schema_version: int = 1

    def sealed(self, index: ClipIndex) -> StoreHeader:
        """The same header with the hashes of content and description.

        The index enters by its values: parquet bytes differ between writers.
        """
        parts = [self.files[FRAMES].sha256, self.files[CONFIDENCE].sha256, index.digest(), records.digest(self.layout)]
        content = json.dumps([*parts, self.units, list(self.labels)])
        about = json.dumps(self.about, sort_keys=True)
        hashes = [hashlib.sha256(text.encode()).hexdigest() for text in (content, about)]
        return replace(self, content_sha256=hashes[0], about_sha256=hashes[1])


@dataclass(frozen=True, eq=False)
class ClipStore:
    """Clips of one layout on disk. `ClipStore.open(path)` makes it."""

    path: Path
    header: StoreHeader
    index: ClipIndex
    frames: NDArray[np.float32]
    confidence: NDArray[np.float16]

    @classmethod
    def open(cls, path: Path) -> ClipStore:
        """Open a store; `InputError` names the file that is absent, truncated or does not fit the others."""
        path = Path(path)
        recover(path)
        if not (path / HEADER).is_file():
            what = "this folder is no clip store" if path.is_dir() else "no clip store here"
            raise InputError(what, where=path, expected=HEADER, hint=_next_command(path))
        header = records.load(StoreHeader, path / HEADER)
        for name in (FRAMES, CONFIDENCE, INDEX):
            _check_size(path / name, header)
        frames = map_npy(path / FRAMES, np.float32, of="clip store", shape=header.shape)
        confidence = map_npy(path / CONFIDENCE, np.float16, of="clip store", shape=header.shape[:-1])
        if not 0 < header.clips <= header.shape[0]:
            expected = f"1 to {header.shape[0]} clips, one a frame at most"
            raise InputError("clip store: no such clips", where=path / HEADER, expected=expected, got=header.clips)
        index = read_index(path / INDEX, clips=header.clips)
        _check_index(index, header, path / INDEX)
        return cls(path, header, index, frames, confidence)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def layout(self) -> Layout:
        """Joint layout of every clip."""
        return self.header.layout

    @property
    def units(self) -> Units:
        """`image01` or `metres`."""
        return self.header.units

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; `index.label` counts into them."""
        return self.header.labels

    @property
    def about(self) -> dict[str, Any]:
        """Source, licence, axes and options of the preparation."""
        return self.header.about

    @property
    def sha256(self) -> str:
        """Identity of the content."""
        return self.header.content_sha256

    @cached_property
    def fps(self) -> float:
        """Median frame rate of the clips."""
        return float(np.median(self.index.fps))

    def points(self, clip: int) -> NDArray[np.float32]:
        """(M, T, V, C) points of one clip, NaN where missing; a read-only view of the file."""
        return np.asarray(self.frames[self._rows(clip)].swapaxes(0, 1))

    def clip(self, clip: int) -> SkeletonClip:
        """One clip with its confidence and description, copied into memory."""
        label, spans = int(self.index.label[clip]), self.index.spans[clip].tolist()
        about = {name: getattr(self.index, name)[clip] for name in ABOUT}
        return SkeletonClip(
            self.points(clip).copy(),
            self.confidence[self._rows(clip)].swapaxes(0, 1).astype(np.float32),
            self.layout,
            float(self.index.fps[clip]),
            self.units,
            label=None if label < 0 else self.labels[label],
            spans=tuple(Annotation(self.labels[kind], first, last) for kind, first, last in spans),
            **about,
        )

    def select(self, *, split: str | None = None, subjects: Iterable[str] | None = None) -> NDArray[np.int64]:
        """Numbers of the clips of a split and of some subjects; both None selects all."""
        chosen = np.ones(len(self), bool)
        if split is not None:
            chosen &= self.index.split == split
        if subjects is not None:
            chosen &= np.isin(self.index.subject.astype(str), list(subjects))
        return np.flatnonzero(chosen).astype(np.int64)

    def recordings(self, split: str | None = None) -> NDArray[np.int64]:
        """Numbers of the long recordings of a split: where any clip has annotated spans, all without a label; and where
        there are labels that no clip has.

        A recording without a span shows background alone.
        """
        clips = self.select(split=split)
        annotated = any(len(spans) for spans in self.index.spans) or (self.labels and (self.index.label < 0).all())
        return clips[self.index.label[clips] < 0] if annotated else clips[:0]

    def verify(self) -> None:
        """Hash every file and the content; `InputError` names the first that has changed."""
        check_hashes(self.path, self.header.files, of="clip store")
        if self.header.sealed(self.index) != self.header:
            raise InputError("clip store: header has changed", where=self.path / HEADER)

    def _rows(self, clip: int) -> slice:
        start = int(self.index.offset[clip])
        return slice(start, start + int(self.index.length[clip]))


def _next_command(path: Path) -> str:
    """The command that makes a store of what lies in a folder."""
    suffixes = {file.suffix for file in path.iterdir()} if path.is_dir() else set()
    reader = next((reader for suffix, reader in READERS.items() if suffix in suffixes), "NAME SOURCE")
    return f"last-edge data prepare {reader.format(path=path)} --out STORE"


def _check_size(path: Path, header: StoreHeader) -> None:
    if path.name not in header.files:
        raise InputError("clip store: header does not list a file", where=path.parent / HEADER, expected=path.name)
    if not path.is_file():
        raise InputError("clip store: file is missing", where=path)
    expected, got = header.files[path.name].bytes, path.stat().st_size
    if got != expected:
        raise InputError("clip store: file is truncated or changed", where=path, expected=f"{expected} bytes", got=got)


def _check_index(index: ClipIndex, header: StoreHeader, path: Path) -> None:
    ends = np.cumsum(index.length)
    starts = ends - index.length
    whole = len(index) == header.clips and len(index) > 0 and int(ends[-1]) == header.shape[0]
    if not whole or not np.array_equal(starts, index.offset) or index.length.min() < 1:
        raise InputError("clip store: index does not fit the frames", where=path)
    for name in ABOUT:
        if odd := [value for value in getattr(index, name) if not isinstance(value, str)]:
            raise InputError(f"clip store: {name} that is no text", where=path, got=repr(odd[0]))
    if not (np.isfinite(index.fps) & (index.fps > 0)).all():
        raise InputError("clip store: frame rate that is none", where=path, got=sorted(set(index.fps.tolist()))[:5])
    if index.label.min() < -1 or index.label.max() >= len(header.labels):
        raise InputError("clip store: label outside the class names", where=path)
    for clip, spans in enumerate(index.spans):
        fault = fault_of_spans(spans[:, 1:].tolist(), int(index.length[clip]))
        if len(spans) and (spans[:, 0].min() < 0 or spans[:, 0].max() >= len(header.labels)):
            fault = "label of a span outside the class names"
        if fault:
            raise InputError(f"clip store: {fault}", where=path, got=f"clip {clip}, {index.source_id[clip]}")
