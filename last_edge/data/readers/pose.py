"""`.pose` files (the pose-format project) of words, and of sentences with a table: a folder, an archive or one file."""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from last_edge.clips.pose_file import pose_clip
from last_edge.clips.writer import SPLITS
from last_edge.data.readers.archive import locate, members, one_file, table_rows
from last_edge.data.readers.nslt import Subset, nslt_labels
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import SkeletonClip, load_layout
from last_edge.skeleton.people import check_person

SHOWN = 5
ABOUT = ("label", "subject", "split", "camera", "setup")
Row = dict[str, str]
logger = logging.getLogger(__name__)


def read_pose_files(
    source: Path, *, layout: str | None = None, axes: int | str | None = None, index: Path | None = None,
    person: str = "largest",
) -> Iterator[SkeletonClip]:  # fmt: skip
    """One clip a file, one person of it, in `image01`.

    person: who is followed of several, see `last_edge.skeleton.people`. layout: None takes each file's own. axes: 2
    drops the depth. index: a CSV with a column `file` (path below SOURCE) and any of label, subject, split, camera,
    setup; without it a file's folder is its label. An NSLT subset (.json) instead takes its recordings alone, with
    their labels, official splits and frames. Files without a row are left out and, as rows without a file, named in a
    warning. Raises `InputError`.
    """
    subset = Subset(index) if index is not None and index.suffix == ".json" else None
    rows: dict[str, Row] | None = None
    if index is not None and not subset:
        named = table_rows(_content(index), str(index), needed=("file",), more=ABOUT)
        rows = {row.pop("file"): row for _, row in named}
    absent, unlisted = dict.fromkeys(rows or ()), list[str]()
    first: SkeletonClip | None = None
    for name, content in members(source, lambda name: name.endswith(".pose") and (not subset or subset.has(name))):
        where = locate(source, name)
        about: dict[str, str | None] = {"label": PurePosixPath(name).parent.name or None}
        if rows is not None:
            if name not in rows:
                unlisted.append(name)
                continue
            about = {**rows[name], "label": rows[name].get("label") or None}
            absent.pop(name)
        clip = None
        with one_file():
            about = dict(subset.about(name)) if subset else about
            clip = _one_person(content, where, layout, axes, person, source_id=name, **about)
            clip = subset.cut(clip, name) if subset else clip
        if clip is None:
            continue
        first = first or clip
        kind, known = ((each.layout.name, each.coords.shape[-1]) for each in (clip, first))
        if kind != known:
            hint = "--layout mediapipe_holistic75 --axes 2 brings both to one kind"
            raise InputError(
                "files of different kinds (layout, axes)", where=where, expected=known, got=kind, hint=hint
            )
        yield clip
    for what, names in (("without a row in the index, left out", unlisted), ("in the index but absent", list(absent))):
        if names:
            logger.warning("%d files %s: %s", len(names), what, ", ".join(names[:SHOWN]))
    if first is None:
        raise InputError("no .pose file found" if subset is None else "no recording of the subset found", where=source)
    if subset:
        subset.tell_missing(source)


def read_wlasl(
    source: Path, *, index: Path | None = None, layout: str | None = None, axes: int | str | None = None,
    person: str = "largest",
) -> Iterator[SkeletonClip]:  # fmt: skip
    """WLASL's recordings as `.pose` files named by their video id, with glosses, signers, official splits and frames.

    index: `WLASL_v0.3.json` or an `nslt_*.json`; None takes the one of SOURCE. Otherwise as `read_pose_files`.
    """
    return read_pose_files(source, layout=layout, axes=axes, index=wlasl_index(source, index), person=person)


def wlasl_index(source: Path, index: Path | None) -> Path:
    """The table of WLASL: the one named, else the only one in the source; `InputError` where there is not one."""
    if index is not None:
        return index
    found = sorted([*source.rglob("WLASL_v*.json"), *source.rglob("nslt_*.json")]) if source.is_dir() else []
    if len(found) != 1:
        got = ", ".join(path.name for path in found) or "none"
        raise InputError(
            "which table?", where=source, expected="one WLASL_v0.3.json", got=got, hint="--index FILE.json"
        )
    return found[0]


def pose_labels(source: Path, options: dict[str, Any]) -> tuple[str, ...] | None:
    """All classes of an NSLT subset in its order; None where the clips decide."""
    index = options.get("index")
    return nslt_labels(index) if index is not None and index.suffix == ".json" else None


def read_pose_tsv(
    source: Path, *, index: Path | None = None, layout: str | None = None, axes: int | str | None = None,
    person: str = "largest",
) -> Iterator[SkeletonClip]:  # fmt: skip
    """One sentence a row, one person of each file (see `read_pose_files`), in `image01`.

    index: a TSV with columns `file` (path below SOURCE) and `text`, and any of split and subject; None takes the one
    `.tsv` of SOURCE. layout: None takes each file's own. axes: 2 drops the depth. Files that no row names are left out.
    Raises `InputError` for a row whose file is absent, a damaged file, other columns; the first two are left out where
    damaged files are (`faults`).
    """
    tables = (
        [(_content(index), str(index))]
        if index is not None
        else [(content, locate(source, name)) for name, content in members(source, lambda name: name.endswith(".tsv"))]
    )
    if len(tables) != 1:
        raise InputError("which table?", where=source, expected="one .tsv", got=len(tables), hint="--index FILE.tsv")
    rows: dict[str, Row] = {}
    for place, row in table_rows(*tables[0], needed=("file", "text"), more=("split", "subject"), delimiter="\t"):
        name = row.pop("file")
        with one_file():
            if name in rows or not row["text"].strip():
                raise InputError("a file twice, or without text", where=place, got=name)
            if row.get("split", "") not in SPLITS:
                raise InputError("unknown split", where=place, expected=SPLITS, got=row["split"])
            rows[name] = row
    if not rows:
        raise InputError("an empty table", where=tables[0][1])
    missing = dict.fromkeys(rows)
    for name, content in members(source, lambda name: name in rows):
        missing.pop(name)
        with one_file():
            yield _one_person(content, locate(source, name), layout, axes, person, source_id=name, **rows[name])
    for name in missing:
        with one_file():
            raise InputError("a file of the table is absent", where=locate(source, name))


def _content(index: Path) -> bytes:
    try:
        return index.read_bytes()
    except OSError as error:
        raise InputError("index cannot be read", where=index, got=error) from error


def _one_person(
    content: bytes, where: str, layout: str | None, axes: int | str | None, person: str, **about: str | None
) -> SkeletonClip:
    if axes not in (None, 2, 3, "2", "3"):
        raise UsageError("points have 2 or 3 axes", got=axes)
    joints = None if layout is None else load_layout(layout)
    clip = pose_clip(
        content, where, layout=joints, person=check_person(person),
        notice=lambda text: logger.warning("%s: %s", where, text), **about,
    )  # fmt: skip
    return dataclasses.replace(clip, coords=clip.coords[..., : None if axes is None else int(axes)])
