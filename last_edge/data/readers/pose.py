"""`.pose` files (the pose-format project) of words, and of sentences with a table: a folder, an archive or one file."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from last_edge.clips.pose_file import pose_clip
from last_edge.clips.writer import SPLITS
from last_edge.data.readers.archive import decoded, locate, members
from last_edge.data.readers.nslt import Subset, nslt_labels
from last_edge.errors import InputError, UsageError
from last_edge.skeleton.clip import SkeletonClip
from last_edge.skeleton.layout import load_layout

ABOUT = ("label", "subject", "split", "camera", "setup")


def read_pose_files(
    source: Path, *, layout: str | None = None, axes: int | None = None, index: Path | None = None
) -> Iterator[SkeletonClip]:
    """One clip a file, first person only, in `image01`.

    layout: None takes each file's own. axes: 2 drops the depth. index: a CSV with a column `file` (path below SOURCE)
    and any of label, subject, split, camera, setup; without it a file's folder is its label. An NSLT subset (.json)
    instead takes its recordings alone, with their labels, official splits and frames. Raises `InputError`.
    """
    if axes not in (None, 2, 3):
        raise UsageError("points have 2 or 3 axes", got=axes)
    target = None if layout is None else load_layout(layout)
    subset = Subset(index) if index is not None and index.suffix == ".json" else None
    rows = None if index is None or subset else read_index(index)
    first: SkeletonClip | None = None
    for name, content in members(source, lambda name: name.endswith(".pose") and (not subset or subset.has(name))):
        where = locate(source, name)
        about = subset.about(name) if subset else _about(name, where, rows)
        clip = pose_clip(content, where, layout=target, source_id=name, **about)
        clip = subset.cut(clip, name) if subset else clip
        clip = dataclasses.replace(clip, coords=clip.coords[:1, ..., :axes], confidence=clip.confidence[:1])
        first = first or clip
        _check_alike(clip, first, where)
        yield clip
    if first is None:
        raise InputError("no .pose file found" if subset is None else "no recording of the subset found", where=source)
    if subset:
        subset.tell_missing(source)


def pose_labels(source: Path, options: dict[str, Any]) -> tuple[str, ...] | None:
    """All classes of an NSLT subset in its order; None where the clips decide."""
    index = options.get("index")
    return nslt_labels(index) if index is not None and index.suffix == ".json" else None


def read_index(path: Path) -> dict[str, dict[str, str]]:
    """File name -> what the CSV says about it."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError("index cannot be read", where=path, got=error) from error
    unknown = sorted(set(columns) - {"file", *ABOUT})
    if "file" not in columns or unknown:
        raise InputError("wrong columns", where=path, expected=("file", *ABOUT), got=columns)
    if any(None in row or None in row.values() for row in rows):
        raise InputError("a row has more or fewer fields than the heading", where=path, expected=columns)
    return {row.pop("file"): row for row in rows}


def _about(name: str, where: str, rows: dict[str, dict[str, str]] | None) -> dict[str, str | None]:
    if rows is None:
        return {"label": PurePosixPath(name).parent.name or None}
    if name not in rows:
        raise InputError("file is not in the index", where=where)
    row = rows[name]
    return {**row, "label": row.get("label") or None}


def _check_alike(clip: SkeletonClip, first: SkeletonClip, where: str) -> None:
    kind, known = ((each.layout.name, each.coords.shape[-1]) for each in (clip, first))
    if kind != known:
        hint = "--layout mediapipe_holistic75 --axes 2 brings both to one kind"
        raise InputError("files of different kinds (layout, axes)", where=where, expected=known, got=kind, hint=hint)


NEEDED = ("file", "text")
COLUMNS = (*NEEDED, "split", "subject")
Row = dict[str, str]


def read_pose_tsv(
    source: Path, *, index: Path | None = None, layout: str | None = None, axes: int | None = None
) -> Iterator[SkeletonClip]:
    """One sentence a row, the first person only, in `image01`.

    index: a TSV with columns `file` (path below SOURCE) and `text`, and any of split and subject; None takes the one
    `.tsv` of SOURCE. layout: None takes each file's own. axes: 2 drops the depth. Files that no row names are left out.
    Raises `InputError` for a row whose file is absent, a damaged file, columns that are not as told.
    """
    if axes not in (None, 2, 3):
        raise UsageError("points have 2 or 3 axes", got=axes)
    target, rows = None if layout is None else load_layout(layout), dict(_rows(source, index))
    missing = dict.fromkeys(rows)
    for name, content in members(source, lambda name: name in rows):
        missing.pop(name)
        about = {key: value for key, value in rows[name].items() if key != "file"}
        clip = pose_clip(content, locate(source, name), layout=target, source_id=name, **about)
        yield dataclasses.replace(clip, coords=clip.coords[:1, ..., :axes], confidence=clip.confidence[:1])
    if missing:
        raise InputError("files of the table are absent", where=source, got=", ".join(list(missing)[:5]))


def _rows(source: Path, index: Path | None) -> Iterator[tuple[str, Row]]:
    """File -> row, checked."""
    content, where = _table(source, index)
    reader = csv.DictReader(io.StringIO(decoded(content, where)), delimiter="\t")
    columns = tuple(reader.fieldnames or ())
    if not set(NEEDED) <= set(columns) <= set(COLUMNS):
        raise InputError("wrong columns", where=where, expected=COLUMNS, got=columns)
    met: set[str] = set()
    for number, row in enumerate(reader, start=2):
        at = f"{where}:{number}"
        if None in row or None in row.values():
            raise InputError("a row has more or fewer fields than the heading", where=at)
        if row["file"] in met or not row["text"].strip():
            raise InputError("a file twice, or without text", where=at, got=row["file"])
        if row.get("split", "") not in SPLITS:
            raise InputError("unknown split", where=at, expected=SPLITS, got=row["split"])
        met.add(row["file"])
        yield row["file"], row
    if not met:
        raise InputError("an empty table", where=where)


def _table(source: Path, index: Path | None) -> tuple[bytes, str]:
    if index is not None:
        if not index.is_file():
            raise InputError("no such table", where=index)
        return index.read_bytes(), str(index)
    found = [(content, locate(source, name)) for name, content in members(source, lambda name: name.endswith(".tsv"))]
    if len(found) != 1:
        raise InputError("which table?", where=source, expected="one .tsv", got=len(found), hint="--index FILE.tsv")
    return found[0]
