"""PHOENIX-2014T sentences as 3D skeletons (Saunders et al. 2020): parallel `.skels`, `.text`, `.gloss` and `.files`."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.data.readers.archive import decoded, locate, members, numbers, one_file
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import SkeletonClip, get_layout

NAME = re.compile(r"(?:^|/)(train|dev|test)\.(skels|text|gloss|files)$")
SPLITS = {"train": "train", "dev": "val", "test": "test"}
TARGETS = ("text", "gloss")
FPS = 25.0
JOINTS = 50
NUMBERS = 3 * JOINTS + 1
"""A frame: fifty points and a counter from 0 to 1."""
Part = dict[str, list[str]]


def read_phoenix(source: Path, *, target: str = "text") -> Iterator[SkeletonClip]:
    """Sentences of the splits that a folder or archive has, in the files' order.

    target: `text`, German, or `gloss`. Who signs is not told. Points are relative to the neck, y down, in the authors'
    unit. A line with another count of numbers, or a counter that does not rise from 0, is left out where damaged files
    are (`faults`). Raises `InputError` naming file and line else, and for files of a split of different length.
    """
    if target not in TARGETS:
        raise UsageError("no such target", expected=" or ".join(TARGETS), got=target)
    parts = _parts(source)
    if not parts:
        raise InputError("no sentences found", where=source, expected="train.skels, train.text, train.files")
    for split, part in parts.items():
        yield from _sentences(part, split, target, source)


def _parts(source: Path) -> dict[str, Part]:
    """Split -> lines of each of its files."""
    parts: dict[str, Part] = {}
    for name, content in members(source, lambda name: NAME.search(name) is not None):
        found = NAME.search(name)
        split, kind = found.groups() if found else ("", "")
        if kind in parts.setdefault(split, {}):
            raise InputError("a file is there twice", where=locate(source, name))
        parts[split][kind] = decoded(content, locate(source, name)).rstrip("\r\n").split("\n")
    return {split: parts[split] for split in SPLITS if split in parts}


def _sentences(part: Part, split: str, target: str, source: Path) -> Iterator[SkeletonClip]:
    for kind in ("skels", "files", target):
        if kind not in part:
            raise InputError("a file of the split is absent", where=source, expected=f"{split}.{kind}")
        if len(part[kind]) != len(part["skels"]):
            expected = f"{len(part['skels'])} lines, as {split}.skels"
            raise InputError("files of different length", where=source / f"{split}.{kind}", expected=expected,
                             got=len(part[kind]))  # fmt: skip
    for number, (line, name, text) in enumerate(zip(part["skels"], part["files"], part[target], strict=True), start=1):
        with one_file():
            yield SkeletonClip.from_points(
                _points(line, f"{source / f'{split}.skels'}:{number}")[None], layout=get_layout("phoenix50"), fps=FPS,
                units="image01", split=SPLITS[split], source_id=name.strip(), text=" ".join(text.split()),
            )  # fmt: skip


def _points(line: str, where: str) -> NDArray[np.float32]:
    """(T, 50, 3) of a line of numbers."""
    values = numbers(line.split(), where)
    if not values or len(values) % NUMBERS:
        raise InputError("wrong count of numbers", where=where, expected=f"a multiple of {NUMBERS}", got=len(values))
    frames = np.array(values, np.float32).reshape(-1, NUMBERS)
    counter = frames[:, -1]
    if counter[0] != 0 or (np.diff(counter) < 0).any() or counter[-1] > 1:
        raise InputError("the counter does not rise from 0 to 1", where=where, got=counter[:5].tolist())
    return frames[:, :-1].reshape(-1, JOINTS, 3)
