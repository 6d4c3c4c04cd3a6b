"""SHREC'17 Track and DHG: 14 hand gestures, each with one finger or the whole hand (De Smedt et al. 2016, 2017)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.data.readers.archive import decoded, locate, members, numbers, one_file
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import SkeletonClip, get_layout

GESTURES = (
    "grab", "tap", "expand", "pinch", "rotation clockwise", "rotation counter-clockwise", "swipe right",
    "swipe left", "swipe up", "swipe down", "swipe x", "swipe +", "swipe v", "shake",
)  # fmt: skip
FINGERS = ("one finger", "whole hand")
FPS = 30.0
LISTS = {"train_gestures.txt": "train", "test_gestures.txt": "test"}
DHG_CUTS = "informations_troncage_sequences.txt"
DHG_NAME = re.compile(r"gesture_(\d+)/finger_(\d+)/subject_(\d+)/essai_(\d+)/skeleton_world\.txt$")
CLIP_NAME = re.compile(r"gesture_(\d+)/finger_(\d+)/subject_(\d+)/essai_(\d+)/skeletons_world\.txt$")

Key = tuple[int, int, int, int]
"""Gesture, finger, subject, essai; all counted from 1."""


@dataclass(frozen=True)
class ListedClip:
    """One row of an official list."""

    key: Key
    split: str
    frames: int
    where: str


def shrec17_labels(labels: int = 14) -> tuple[str, ...]:
    """Class names of the 14- or 28-class task, in official order."""
    if labels == 14:
        return GESTURES
    if labels == 28:
        return tuple(f"{gesture}, {finger}" for gesture in GESTURES for finger in FINGERS)
    raise UsageError("SHREC'17 has two tasks", expected="--labels 14 or 28", got=labels)


def read_shrec17(source: Path, *, labels: int = 14) -> Iterator[SkeletonClip]:
    """Clips of the official folder or its archive, in the order of the train list, then the test list.

    The lists decide the split; each of their rows must have its clip, with as many rows as the list says (all 2,800
    official ones do). Points are metres: x to the user's right, y up, z away from the sensor. Raises `InputError`.
    """
    names = shrec17_labels(labels)
    clips, lists = _read_files(source)
    for row in _listed(lists, source):
        points = _take(clips, row, source)
        gesture, finger, subject, _ = row.key
        number = gesture - 1 if labels == 14 else 2 * (gesture - 1) + finger - 1
        yield SkeletonClip.from_points(
            points[None], layout=get_layout("shrec22"), fps=FPS, units="metres", label=names[number],
            subject=f"{subject:02d}", source_id="gesture_{}/finger_{}/subject_{}/essai_{}".format(*row.key),
            split=row.split,
        )  # fmt: skip


def _read_files(source: Path) -> tuple[dict[Key, NDArray[np.float32]], dict[str, str]]:
    """Points of every clip, and the official lists."""
    clips: dict[Key, NDArray[np.float32]] = {}
    lists: dict[str, str] = {}
    for name, content in members(source, lambda name: Path(name).name in LISTS or CLIP_NAME.search(name) is not None):
        if found := CLIP_NAME.search(name):
            gesture, finger, subject, essai = map(int, found.groups())
            clips[gesture, finger, subject, essai] = _points(content, locate(source, name))
        else:
            lists[Path(name).name] = decoded(content, locate(source, name))
    if absent := [name for name in LISTS if name not in lists]:
        raise InputError("official list is absent", where=source, expected=absent[0])
    return clips, lists


def _points(content: bytes, where: str) -> NDArray[np.float32]:
    """(T, 22, 3) from one row of 66 numbers a frame; `InputError` names file and line."""
    rows = []
    for number, line in enumerate(decoded(content, where).splitlines(), start=1):
        if line.strip():
            rows.append(numbers(line.split(), f"{where}:{number}"))
            if len(rows[-1]) != 66:
                expected = "66 numbers, 22 joints of 3"
                raise InputError("wrong joint count", where=f"{where}:{number}", expected=expected, got=len(rows[-1]))
    if not rows:
        raise InputError("empty clip", where=where)
    return np.array(rows, np.float32).reshape(len(rows), 22, 3)


def _listed(lists: dict[str, str], source: Path) -> Iterator[ListedClip]:
    """The lists' rows: gesture finger subject essai label14 label28 length."""
    seen: dict[Key, str] = {}
    for name, split in LISTS.items():
        for number, line in enumerate(lists[name].splitlines(), start=1):
            where, fields = f"{locate(source, name)}:{number}", line.split()
            if len(fields) != 7 or not all(field.isdecimal() for field in fields):
                raise InputError("list row not understood", where=where, expected="seven whole numbers", got=line[:80])
            gesture, finger, subject, essai, label14, label28, frames = map(int, fields)
            fits = label14 == gesture and label28 == 2 * (gesture - 1) + finger
            if not (fits and 1 <= gesture <= len(GESTURES) and finger in (1, 2)):
                raise InputError("labels do not fit gesture and finger", where=where, got=line)
            key = (gesture, finger, subject, essai)
            if key in seen:
                raise InputError("clip listed twice", where=where, got=seen[key])
            seen[key] = where
            yield ListedClip(key, split, frames, where)


def _take(clips: dict[Key, NDArray[np.float32]], row: ListedClip, source: Path) -> NDArray[np.float32]:
    name = "gesture_{}/finger_{}/subject_{}/essai_{}/skeletons_world.txt".format(*row.key)
    points = clips.pop(row.key, None)
    if points is None:
        raise InputError("a listed clip is absent", where=row.where, expected=locate(source, name))
    if len(points) != row.frames:
        where, expected = locate(source, name), f"{row.frames} rows, says {row.where}"
        raise InputError("truncated clip", where=where, expected=expected, got=len(points))
    return points


def read_dhg(source: Path, *, labels: int = 14) -> Iterator[SkeletonClip]:
    """Clips of DHG-14/28, folder or archive, cut to the effective gesture that its own table names.

    Points as in SHREC'17. The data set has no split: leave a subject out (`--leave-out`), as its authors do. Damaged
    clips are left out where that is asked for. Raises `InputError`.
    """
    names, clips, cuts = shrec17_labels(labels), dict[Key, tuple[str, bytes]](), dict[Key, tuple[int, int]]()
    for name, content in members(source, lambda name: name.endswith(DHG_CUTS) or DHG_NAME.search(name) is not None):
        where = locate(source, name)
        if found := DHG_NAME.search(name):
            gesture, finger, subject, essai = map(int, found.groups())
            clips[gesture, finger, subject, essai] = where, content
            continue
        for number, line in enumerate(decoded(content, where).splitlines(), start=1):
            if line.strip():
                row = [int(value) for value in numbers(line.split(), f"{where}:{number}")]
                if len(row) != 6:
                    raise InputError("row not understood", where=f"{where}:{number}", expected="six whole numbers")
                cuts[row[0], row[1], row[2], row[3]] = row[4], row[5]
    if not clips:
        raise InputError("no DHG clips found", where=source, expected="gesture_G/finger_F/subject_S/essai_E")
    if not cuts:
        raise InputError("the table of effective gestures is absent", where=source, expected=DHG_CUTS)
    for (gesture, finger, subject, essai), (where, content) in sorted(clips.items()):
        with one_file():
            if not (1 <= gesture <= len(GESTURES) and finger in (1, 2)):
                raise InputError("gesture or finger outside the data set", where=where)
            points = _points(content, where)
            first, last = cuts.get((gesture, finger, subject, essai), (0, len(points) - 1))
            if not 0 <= first <= last < len(points):
                got = f"frames {first} to {last} of {len(points)}"
                raise InputError("the effective gesture leaves its clip", where=where, got=got)
            number = gesture - 1 if labels == 14 else 2 * (gesture - 1) + finger - 1
            yield SkeletonClip.from_points(
                points[None, first : last + 1], layout=get_layout("shrec22"), fps=FPS, units="metres",
                label=names[number], subject=f"{subject:02d}",
                source_id=f"gesture_{gesture}/finger_{finger}/subject_{subject}/essai_{essai}",
            )  # fmt: skip
