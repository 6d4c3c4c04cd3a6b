"""The official NTU RGB+D `.skeleton` text format: parse one file into tracked bodies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError

JOINTS = 25
BODY_FIELDS = 10
LARGEST_COUNT = 100_000

Bodies = dict[str, NDArray[np.float32]]
"""Tracking id -> (T, 25, 3) metres, NaN in frames without this body; in order of appearance."""


@dataclass
class _Lines:
    """A cursor over a file's lines that names file and line in every error."""

    lines: list[str]
    where: str
    at: int = 0

    def take(self, what: str) -> list[str]:
        """The fields of the next line; `InputError` when the file ends before it."""
        if self.at >= len(self.lines):
            raise InputError("truncated file", where=f"{self.where}:{self.at + 1}", expected=what, got="end of file")
        fields = self.lines[self.at].split()
        self.at += 1
        return fields

    def count(self, what: str) -> int:
        """The next line as one whole number."""
        fields = self.take(what)
        if len(fields) != 1 or not fields[0].isdecimal() or int(fields[0]) > LARGEST_COUNT:
            raise self.error("line not understood", expected=what, got=" ".join(fields)[:80])
        return int(fields[0])

    def error(self, what: str, *, expected: object = None, got: object = None) -> InputError:
        """An error at the line just taken."""
        return InputError(what, where=f"{self.where}:{self.at}", expected=expected, got=got)


def parse_skeleton(text: str, where: str) -> Bodies:
    """The tracked bodies of one file.

    Format: frame count; per frame the body count; per body ten header fields (the first is the tracking id), the joint
    count, and one row a joint that starts with x y z. A joint at exactly (0, 0, 0) was not tracked and is missing.
    Raises `InputError` naming file and line.
    """
    lines = _Lines(text.splitlines(), where)
    frames = lines.count("the frame count")
    if frames == 0:
        raise lines.error("empty clip", expected="at least one frame")
    bodies: Bodies = {}
    for frame in range(frames):
        for _ in range(lines.count(f"the body count of frame {frame + 1} of {frames}")):
            _read_body(lines, bodies, frame, frames)
    if any(line.strip() for line in lines.lines[lines.at :]):
        lines.take("the end")
        raise lines.error("more lines than the frame count says", expected=f"{frames} frames")
    return bodies


def _read_body(lines: _Lines, bodies: Bodies, frame: int, frames: int) -> None:
    header = lines.take("ten fields of a body")
    if len(header) != BODY_FIELDS:
        raise lines.error("body header not understood", expected=f"{BODY_FIELDS} fields", got=len(header))
    joints = lines.count("the joint count")
    if joints != JOINTS:
        raise lines.error("wrong joint count", expected=JOINTS, got=joints)
    body = bodies.setdefault(header[0], np.full((frames, JOINTS, 3), np.nan, np.float32))
    for joint in range(JOINTS):
        body[frame, joint] = _read_joint(lines, joint)


def _read_joint(lines: _Lines, joint: int) -> tuple[float, ...]:
    fields = lines.take(f"joint {joint + 1} of {JOINTS}")
    try:
        point = tuple(map(float, fields[:3]))
    except ValueError as error:
        raise lines.error("not a number", got=error) from error
    if len(point) != 3:
        raise lines.error("truncated joint", expected="x y z and more", got=" ".join(fields))
    if not all(map(math.isfinite, point)):
        raise lines.error("NaN or infinite point", got=" ".join(fields[:3]))
    return point if any(point) else (math.nan,) * 3
