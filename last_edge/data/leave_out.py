"""A store with other splits: some subjects test, all others train. The points stay where they are, on disk once."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from last_edge import records
from last_edge.clips.features import FOLDER as FEATURES
from last_edge.clips.header import CONFIDENCE, FRAMES, HEADER, INDEX, StoredFile, about_sha256, content_sha256
from last_edge.clips.index import write_index
from last_edge.clips.store import ClipStore
from last_edge.errors import UsageError
from last_edge.files import writing_folder


def leave_out(store: ClipStore, out: Path, *, subjects: Iterable[str], force: bool = False) -> ClipStore:
    """Write `store` to `out` with `subjects` as its test split and everybody else as its training split.

    Points, confidences and features are linked where the file system can, else copied. The result is what
    `data prepare --leave-out` makes of the same recordings. `UsageError` names unknown subjects.
    """
    chosen, known = sorted(subjects), set(store.index.subject.astype(str).tolist())
    if not set(chosen) <= known:
        expected, got = sorted(known), sorted(set(chosen) - known)
        raise UsageError("subjects to leave out are not in the store", where=store.path, expected=expected, got=got)
    tests = np.isin(store.index.subject.astype(str), chosen)
    index = dataclasses.replace(store.index, split=np.where(tests, "test", "train").astype(np.object_))
    about = {**store.about, "options": {**store.about.get("options", {}), "leave_out": chosen}}
    with writing_folder(out, marker=HEADER, force=force) as folder:
        for name in (FRAMES, CONFIDENCE):
            _link(store.path / name, folder / name)
        for file in (item for item in (store.path / FEATURES).rglob("*") if item.is_file()):
            _link(file, folder / file.relative_to(store.path))
        write_index(index, folder / INDEX)
        files = {**store.header.files, INDEX: StoredFile.of(folder / INDEX)}
        identity = content_sha256(files, index, layout=store.layout, units=store.units, labels=store.labels)
        header = dataclasses.replace(
            store.header, files=files, content_sha256=identity, about=about, about_sha256=about_sha256(about)
        )
        records.save(header, folder / HEADER)
    return ClipStore.open(out)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
