"""`.pose` files (the pose-format project): a folder, an archive or one file."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from last_edge.clips.pose_file import pose_clip
from last_edge.data.archive import locate, members
from last_edge.errors import InputError, UsageError
from last_edge.skeleton.clip import SkeletonClip
from last_edge.skeleton.layout import load_layout

ABOUT = ("label", "subject", "split", "camera", "setup")


def read_pose_files(
    source: Path, *, layout: str | None = None, axes: int | None = None, index: Path | None = None
) -> Iterator[SkeletonClip]:
    """One clip a file, first person only, in `image01`.

    layout: None takes each file's own. axes: 2 drops the depth. index: a CSV with a column `file` (path below SOURCE)
    and any of label, subject, split, camera, setup; without it a file's folder is its label. Raises `InputError`.
    """
    if axes not in (None, 2, 3):
        raise UsageError("points have 2 or 3 axes", got=axes)
    target = None if layout is None else load_layout(layout)
    rows = None if index is None else read_index(index)
    first: SkeletonClip | None = None
    for name, content in members(source, lambda name: name.endswith(".pose")):
        where = locate(source, name)
        clip = pose_clip(content, where, layout=target, source_id=name, **_about(name, where, rows))
        clip = dataclasses.replace(clip, coords=clip.coords[:1, ..., :axes], confidence=clip.confidence[:1])
        first = first or clip
        _check_alike(clip, first, where)
        yield clip
    if first is None:
        raise InputError("no .pose file found", where=source)


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
