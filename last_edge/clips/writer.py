"""Writing a clip store clip by clip: points go straight to disk, so memory stays small at any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.clips.header import (
    CONFIDENCE,
    FRAMES,
    HEADER,
    INDEX,
    StoredFile,
    StoreHeader,
    about_sha256,
    content_sha256,
)
from last_edge.clips.index import ClipIndex, write_index
from last_edge.errors import InputError
from last_edge.files import writing_folder
from last_edge.names import did_you_mean
from last_edge.skeleton.clip import SkeletonClip, Units
from last_edge.skeleton.layout import Layout

SPLITS = ("train", "val", "test", "")
COPIED = ("subject", "split", "camera", "setup", "source_id", "fps", "text")
SMALLEST_CONFIDENCE = 1e-4


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


class StoreWriter:
    """Takes clips of one layout, body count, axis count and unit. Made by `writing_store`."""

    def __init__(self, folder: Path, *, layout: Layout, units: Units, labels: tuple[str, ...] | None) -> None:
        self._layout, self._units, self._labels = layout, units, labels
        self._frames = GrowingArray(folder / FRAMES, np.float32)
        self._confidence = GrowingArray(folder / CONFIDENCE, np.float16)
        self._folder = folder
        self._rows: list[dict[str, Any]] = []
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, clip: SkeletonClip) -> None:
        """Append one clip; `InputError` names it when it does not fit the store."""
        self._check(clip)
        self._rows.append(self._row(clip))
        self._ids.add(clip.source_id)
        self._frames.append(clip.coords.swapaxes(0, 1))
        sure = np.where(clip.confidence > 0, np.maximum(clip.confidence, SMALLEST_CONFIDENCE), 0)
        self._confidence.append(sure.swapaxes(0, 1))

    def finish(self, about: dict[str, Any]) -> StoreHeader:
        """Write index and header; `InputError` when no clip came."""
        self.close()
        if not self._rows:
            raise InputError("no clips to store", where=self._folder.name.removesuffix(".partial"))
        labels = self._final_labels()
        index = ClipIndex.from_rows(self._rows)
        write_index(index, self._folder / INDEX)
        files = {name: StoredFile.of(self._folder / name) for name in (FRAMES, CONFIDENCE, INDEX)}
        identity = content_sha256(files, index, layout=self._layout, units=self._units, labels=labels)
        shape = (self._frames.length, *(self._frames.row or ()))
        header = StoreHeader(
            layout=self._layout,
            units=self._units,
            labels=labels,
            clips=len(index),
            shape=shape,
            files=files,
            content_sha256=identity,
            about_sha256=about_sha256(about),
            about=about,
        )
        records.save(header, self._folder / HEADER)
        return header

    def close(self) -> None:
        """Close both arrays."""
        self._frames.close()
        self._confidence.close()

    def _check(self, clip: SkeletonClip) -> None:
        where = clip.source_id or f"clip {len(self)}"
        if clip.layout != self._layout:
            raise InputError("clip of another layout", where=where, expected=self._layout.name, got=clip.layout.name)
        if clip.units != self._units:
            raise InputError("clip in other units", where=where, expected=self._units, got=clip.units)
        got = (clip.coords.shape[0], *clip.coords.shape[2:])
        if self._frames.row is not None and got != self._frames.row:
            raise InputError("clip of another shape (M, V, C)", where=where, expected=self._frames.row, got=got)
        if clip.split not in SPLITS:
            raise InputError("unknown split", where=where, expected=SPLITS, got=clip.split)
        if clip.source_id and clip.source_id in self._ids:
            raise InputError("the same clip twice", where=where)

    def _row(self, clip: SkeletonClip) -> dict[str, Any]:
        about = {name: getattr(clip, name) for name in COPIED}
        return {"offset": self._frames.length, "length": clip.frames, "label": self._label(clip), **about}

    def _label(self, clip: SkeletonClip) -> Any:
        """Index into the labels; the name itself while they are still being collected."""
        if clip.label is None:
            return -1
        if self._labels is None:
            return clip.label
        if clip.label not in self._labels:
            raise InputError(
                f"unknown label {clip.label!r}", where=clip.source_id, expected=did_you_mean(clip.label, self._labels)
            )
        return self._labels.index(clip.label)

    def _final_labels(self) -> tuple[str, ...]:
        if self._labels is not None:
            return self._labels
        labels = _in_order({row["label"] for row in self._rows if row["label"] != -1})
        for row in self._rows:
            row["label"] = -1 if row["label"] == -1 else labels.index(row["label"])
        return labels


def _in_order(labels: set[str]) -> tuple[str, ...]:
    """Sorted; by value where every label is a number."""
    numbers = all(label.isdecimal() for label in labels)
    return tuple(sorted(labels, key=lambda label: (int(label) if numbers else 0, label)))


@contextmanager
def writing_store(
    path: Path,
    *,
    layout: Layout,
    units: Units,
    labels: Iterable[str] | None = None,
    about: dict[str, Any] | None = None,
    force: bool = False,
) -> Iterator[StoreWriter]:
    """Fill a new store at `path`; nothing stands there until it is whole.

    labels: class names in order; None collects and sorts the names that come. `UsageError` when `path` exists and not
    `force`; `InputError` when a clip does not fit or none came.
    """
    with writing_folder(path, marker=HEADER, force=force) as folder:
        names = None if labels is None else tuple(labels)
        writer = StoreWriter(folder, layout=layout, units=units, labels=names)
        try:
            yield writer
            writer.finish(about or {})
        finally:
            writer.close()
