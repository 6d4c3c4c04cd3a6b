"""SHREC 2021 "gestures in the wild": long recordings of a hand with annotated gestures (Caputo et al. 2021)."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.data.readers.archive import decoded, locate, members, numbers, one_file
from last_edge.errors import InputError
from last_edge.skeleton import Annotation, SkeletonClip, get_layout

GESTURES = (
    "ONE", "TWO", "THREE", "FOUR", "OK", "MENU", "LEFT", "RIGHT", "CIRCLE", "V", "CROSS", "GRAB", "PINCH", "TAP",
    "DENY", "KNOB", "EXPAND",
)  # fmt: skip
FPS = 50.0
BLOCK = 36
"""Recordings of neighbouring numbers that count as one person's: nobody says whose they are, neighbours are alike."""
ANNOTATIONS = {"annotations_revised_training.txt": "train", "annotations_revised.txt": "test"}
SEQUENCE = re.compile(r"(training|test)_set/sequences/(\d+)\.txt$")
JOINTS, NUMBERS = 20, 7
AWAY = np.array([1, 1, -1], np.float32)
"""The files' z points away from the user, as a game engine has it; the layout's towards them."""

logger = logging.getLogger(__name__)


def read_shrec21(source: Path) -> Iterator[SkeletonClip]:
    """Recordings of the official folder or its archive, by number; the official lists decide the split.

    Points are the Leap Motion's metres; its rotations are not read. Subjects are blocks of `BLOCK` neighbouring
    numbers, so that whoever leaves a subject out leaves out a contiguous part. An annotation that goes beyond its
    recording is cut, one that ends before it begins is told and left out. Raises `InputError` naming file and line.
    """
    recordings, lists = dict[int, tuple[str, str, bytes]](), dict[str, str]()
    for name, content in members(source, lambda name: Path(name).name in ANNOTATIONS or bool(SEQUENCE.search(name))):
        if found := SEQUENCE.search(name):
            recordings[int(found[2])] = ("train" if found[1] == "training" else "test", name, content)
        else:
            lists[Path(name).name] = decoded(content, locate(source, name))
    if absent := [name for name in ANNOTATIONS if name not in lists]:
        raise InputError("official annotations are absent", where=source, expected=absent[0])
    annotated = {split: _annotations(lists[name], locate(source, name)) for name, split in ANNOTATIONS.items()}
    for split, rows in annotated.items():
        there = {number for number, (own, _, _) in recordings.items() if own == split}
        if strange := sorted(set(rows) ^ there):
            raise InputError("annotations and recordings do not fit", where=source, got=f"{split} {strange[:5]}")
    for number in sorted(recordings):
        split, name, content = recordings[number]
        with one_file():
            points = _points(content, locate(source, name))
            first = number - (number - 1) % BLOCK
            yield SkeletonClip.from_points(
                points[None], layout=get_layout("leap20"), fps=FPS, units="metres",
                subject=f"{first:03d}-{first + BLOCK - 1:03d}", source_id=f"{number:03d}", split=split,
                spans=_spans(annotated[split][number], len(points), f"{locate(source, name)}"),
            )  # fmt: skip


def _points(content: bytes, where: str) -> NDArray[np.float32]:
    """(T, 20, 3) of rows of x;y;z and a quaternion for each joint."""
    rows = []
    for number, line in enumerate(decoded(content, where).splitlines(), start=1):
        if fields := [field for field in line.strip().split(";") if field]:
            if len(fields) != JOINTS * NUMBERS:
                expected = f"{JOINTS * NUMBERS} numbers, {JOINTS} joints of {NUMBERS}"
                raise InputError("wrong joint count", where=f"{where}:{number}", expected=expected, got=len(fields))
            rows.append(numbers(fields, f"{where}:{number}"))
    if not rows:
        raise InputError("empty recording", where=where)
    return np.array(rows, np.float32).reshape(len(rows), JOINTS, NUMBERS)[:, :, :3] * AWAY


def _annotations(text: str, where: str) -> dict[int, list[Annotation]]:
    """Rows `number;LABEL;first;last;LABEL;first;last;…` by number."""
    rows = dict[int, list[Annotation]]()
    for number, line in enumerate(text.splitlines(), start=1):
        fields = [field.strip() for field in line.split(";") if field.strip()]
        if not fields:
            continue
        names, times = fields[1::3], [fields[0], *fields[2::3], *fields[3::3]]
        if len(fields) % 3 != 1 or not all(field.isdecimal() for field in times) or not set(names) <= set(GESTURES):
            expected = "number;LABEL;first;last;…, labels of the contest"
            raise InputError("row not understood", where=f"{where}:{number}", expected=expected, got=line[:80])
        spans = zip(names, map(int, fields[2::3]), map(int, fields[3::3]), strict=True)
        rows[int(fields[0])] = [Annotation(*span) for span in spans]
    return rows


def _spans(rows: list[Annotation], frames: int, where: str) -> tuple[Annotation, ...]:
    """What lies within a recording, in the order of time."""
    kept = []
    for span in sorted(rows, key=lambda span: span.first):
        inside = span._replace(last=min(span.last, frames - 1))
        if inside.last < inside.first:
            logger.warning("%s: %s from %d to %d is left out: it ends before it begins", where, *span)
        else:
            kept.append(inside)
    return tuple(kept)
