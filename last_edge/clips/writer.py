"""Writing clip stores: clip by clip, with clips more or fewer, or with other splits. Points go straight to disk."""

import dataclasses
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.arrays import GrowingArray
from last_edge.clips.features import FOLDER as FEATURES
from last_edge.clips.store import (
    CONFIDENCE,
    FRAMES,
    HEADER,
    INDEX,
    ClipIndex,
    ClipStore,
    StoredFile,
    StoreHeader,
    write_index,
)
from last_edge.errors import InputError, UsageError
from last_edge.files import locked, recover, writing_folder
from last_edge.names import did_you_mean
from last_edge.skeleton import Layout, SkeletonClip, Units

SPLITS = ("train", "val", "test", "")
SMALLEST_CONFIDENCE = 1e-4


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
        label = -1 if clip.label is None else self._number(clip.label, clip)
        place = {"offset": self._frames.length, "length": clip.frames, "label": label, "fps": clip.fps}
        spans = [(self._number(span.label, clip), span.first, span.last) for span in clip.spans]
        self._rows.append({**place, **clip.about, "spans": spans})
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
        shape = (self._frames.length, *(self._frames.row or ()))
        header = StoreHeader(
            layout=self._layout,
            units=self._units,
            labels=labels,
            clips=len(index),
            shape=shape,
            files=files,
            content_sha256="",
            about=about,
        ).sealed(index)
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

    def _number(self, label: str, clip: SkeletonClip) -> Any:
        if self._labels is None:
            return label
        if label not in self._labels:
            expected = did_you_mean(label, self._labels)
            raise InputError(f"unknown label {label!r}", where=clip.source_id, expected=expected)
        return self._labels.index(label)

    def _final_labels(self) -> tuple[str, ...]:
        """The class names; those that came in order, by value where every one is a number."""
        if self._labels is not None:
            return self._labels
        shown = {span[0] for row in self._rows for span in row["spans"]}
        names = {row["label"] for row in self._rows if row["label"] != -1} | shown
        numbers = all(name.isdecimal() for name in names)
        labels = tuple(sorted(names, key=lambda name: (int(name) if numbers else 0, name)))
        for row in self._rows:
            row["label"] = -1 if row["label"] == -1 else labels.index(row["label"])
            row["spans"] = [(labels.index(name), first, last) for name, first, last in row["spans"]]
        return labels


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


def append_clips(
    path: Path, clips: Sequence[SkeletonClip], *, about: dict[str, Any] | None = None, drop: Collection[int] = ()
) -> ClipStore:
    """The store at `path`, made anew with some clips more and without those of the numbers in `drop`.

    Known labels keep their order, new ones follow it. about: of a store that is not there yet; an older one keeps its
    own. Raises `InputError` when a clip does not fit or nothing would be left, `UsageError` as `locked` does.
    """
    with locked(path):
        return _append(path, clips, about=about, drop=drop)


def _append(
    path: Path, clips: Sequence[SkeletonClip], *, about: dict[str, Any] | None, drop: Collection[int]
) -> ClipStore:
    recover(path)
    old = ClipStore.open(path) if (path / HEADER).is_file() else None
    like = old if old is not None else next(iter(clips), None)
    if like is None:
        raise InputError("no clips to store", where=path)
    known = () if old is None else old.labels
    labels = (*known, *sorted(_shown(clips) - set(known)))
    about = about if old is None else old.about
    with writing_store(path, layout=like.layout, units=like.units, labels=labels, about=about, force=True) as writer:
        if old is not None:
            for number in sorted(set(range(len(old))) - set(drop)):
                writer.add(old.clip(number))
        for clip in clips:
            writer.add(clip)
    return ClipStore.open(path)


def _shown(clips: Iterable[SkeletonClip]) -> set[str]:
    """Every label of some clips, of their spans too."""
    return {name for clip in clips for name in (clip.label, *(span.label for span in clip.spans)) if name is not None}


def leave_out(store: ClipStore, out: Path, *, subjects: Iterable[str], force: bool = False) -> ClipStore:
    """Write `store` to `out` with `subjects` as its test split and everybody else as its training split.

    Points, confidences and features are linked where the file system can, else copied. The result is what
    `data prepare --leave-out` makes of the same recordings. `UsageError` names unknown subjects.
    """
    chosen, known = sorted(subjects), set(store.index.subject.astype(str).tolist())
    if not set(chosen) <= known:
        expected, got = sorted(known), sorted(set(chosen) - known)
        raise UsageError("subjects to leave out are not in the store", where=store.path, expected=expected, got=got)
    split = np.where(np.isin(store.index.subject.astype(str), chosen), "test", "train")
    options = {**store.about.get("options", {}), "leave_out": chosen}
    return with_splits(store, out, split=split, about={**store.about, "options": options}, force=force)


def with_splits(
    store: ClipStore, out: Path, *, split: NDArray[Any], about: dict[str, Any] | None = None, force: bool = False
) -> ClipStore:
    """Write `store` to `out` with the split (N,) of each clip; points are linked where that can be, else copied.

    about: of the new store; None for the old one's.
    """
    index = dataclasses.replace(store.index, split=np.asarray(split).astype(np.object_))
    with writing_folder(out, marker=HEADER, force=force) as folder:
        for name in (FRAMES, CONFIDENCE):
            _link(store.path / name, folder / name)
        for file in (item for item in (store.path / FEATURES).rglob("*") if item.is_file()):
            _link(file, folder / file.relative_to(store.path))
        write_index(index, folder / INDEX)
        files = {**store.header.files, INDEX: StoredFile.of(folder / INDEX)}
        about = store.about if about is None else about
        header = dataclasses.replace(store.header, files=files, about=about).sealed(index)
        records.save(header, folder / HEADER)
    return ClipStore.open(out)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
