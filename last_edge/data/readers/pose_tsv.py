"""Sentences as `.pose` files and a table (TSV) of what they say."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

from last_edge.clips.pose_file import pose_clip
from last_edge.clips.writer import SPLITS
from last_edge.data.readers.archive import locate, members
from last_edge.data.readers.texts import decoded
from last_edge.errors import InputError, UsageError
from last_edge.skeleton.clip import SkeletonClip
from last_edge.skeleton.layout import load_layout

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
