"""The tracked bodies of an official NTU RGB+D `.skeleton` file: parse the text, tell people from noise, place them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.data.readers.archive import numbers
from last_edge.errors import InputError

Points = NDArray[np.float32]
SHORTEST = 11
"""A body seen in no more frames than this beside others is noise (rule of the CTR-GCN preparation)."""
WIDEST = 0.8
"""A frame whose body is wider than this share of its height is suspect ..."""
MOST_WIDE = 0.69754
"""... and a body with at least this share of suspect frames is no person (same source)."""
BODIES = 2
SPINE_BASE, SPINE_MID, LEFT_SHOULDER, RIGHT_SHOULDER = 0, 1, 4, 8
JOINTS = 25
BODY_FIELDS = 10
LARGEST_COUNT = 100_000
MOST_BODIES = 100
"""Tracking ids in one file; a sensor follows six people at a time."""
MOST_BODY_FRAMES = 1_000_000
"""Bodies times frames of one file, of 300 bytes each."""

Bodies = dict[str, Points]
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
    seen: dict[str, dict[int, Points]] = {}
    for frame in range(frames):
        for _ in range(lines.count(f"the body count of frame {frame + 1} of {frames}")):
            body, points = _read_body(lines)
            seen.setdefault(body, {})[frame] = points
            if len(seen) > MOST_BODIES or len(seen) * frames > MOST_BODY_FRAMES:
                expected = f"up to {MOST_BODIES} bodies and {MOST_BODY_FRAMES} bodies times frames"
                raise lines.error("too many bodies", expected=expected, got=f"{len(seen)} bodies, {frames} frames")
    if any(line.strip() for line in lines.lines[lines.at :]):
        lines.take("the end")
        raise lines.error("more lines than the frame count says", expected=f"{frames} frames")
    bodies: Bodies = {}  # only now, from a whole file: its first lines may promise anything
    for body, rows in seen.items():
        bodies[body] = np.full((frames, JOINTS, 3), np.nan, np.float32)
        bodies[body][list(rows)] = list(rows.values())
    return bodies


def _read_body(lines: _Lines) -> tuple[str, Points]:
    """Tracking id and points (25, 3) of the next body."""
    header = lines.take("ten fields of a body")
    if len(header) != BODY_FIELDS:
        raise lines.error("body header not understood", expected=f"{BODY_FIELDS} fields", got=len(header))
    joints = lines.count("the joint count")
    if joints != JOINTS:
        raise lines.error("wrong joint count", expected=JOINTS, got=joints)
    points = np.full((JOINTS, 3), np.nan, np.float32)
    for joint in range(JOINTS):
        fields = lines.take(f"joint {joint + 1} of {JOINTS}")
        point = numbers(fields[:3], f"{lines.where}:{lines.at}")
        if len(point) != 3:
            raise lines.error("truncated joint", expected="x y z and more", got=" ".join(fields))
        points[joint] = point if any(point) else math.nan
    return header[0], points


def select_bodies(bodies: Bodies, *, keep: int = BODIES) -> list[Points]:
    """The bodies that are people, most motion first, at most `keep`, each (T, 25, 3).

    Denoising by length and by spread acts only where several bodies are tracked and never removes all. Bodies that
    follow each other in time count as one.
    """
    people = [body for body in bodies.values() if seen_frames(body).any()]
    people = _drop(people, lambda body: int(seen_frames(body).sum()) <= SHORTEST)
    people = _drop(people, lambda body: wide_share(body) >= MOST_WIDE)
    return join_in_time(sorted(people, key=motion_energy, reverse=True))[:keep]


def join_in_time(ranked: list[Points]) -> list[Points]:
    """Join bodies that follow each other: the tracker gave one person another id.

    As in the CTR-GCN preparation each body goes, in order of rank, to the first place whose span is free of it; one
    frame of handing over, the last of one and the first of the other, still counts as free and shows the place's body.
    """
    joined: list[Points] = []
    for body in ranked:
        place = next((place for place, other in enumerate(joined) if _follow(body, other)), None)
        if place is None:
            joined.append(body)
        else:
            joined[place] = np.where(np.isnan(joined[place]), body, joined[place])
    return joined


def _follow(one: Points, other: Points) -> bool:
    """Whether the spans of two bodies share no frame, or but one in which neither lies whole."""
    spans = _span(one), _span(other)
    shared = int((spans[0] & spans[1]).sum())
    return shared == 0 or (shared == 1 and min(int(span.sum()) for span in spans) > 1)


def _span(body: Points) -> NDArray[np.bool_]:
    """(T,) frames from the first to the last that shows the body."""
    seen = seen_frames(body)
    return np.asarray(np.logical_or.accumulate(seen) & np.logical_or.accumulate(seen[::-1])[::-1])


def _drop(bodies: list[Points], is_noise: Callable[[Points], bool]) -> list[Points]:
    kept = [body for body in bodies if not is_noise(body)]
    return kept if kept and len(bodies) > 1 else bodies


def seen_frames(body: Points) -> NDArray[np.bool_]:
    """(T,) frames that show any joint."""
    return np.asarray(~np.isnan(body).any(-1).all(-1))


def wide_share(body: Points) -> float:
    """Share of the seen frames in which the body is wider than `WIDEST` of its height."""
    seen = body[seen_frames(body)]
    span = np.nanmax(seen, axis=1) - np.nanmin(seen, axis=1)
    return float((span[:, 0] > WIDEST * span[:, 1]).mean())


def motion_energy(body: Points) -> float:
    """Variance of every coordinate over the seen frames, summed over joints and axes."""
    seen = body[seen_frames(body)]
    known = ~np.isnan(seen).any(-1).all(0)
    return float(np.nanvar(seen[:, known], axis=0).sum())


def stack_bodies(people: list[Points], *, count: int = BODIES) -> Points:
    """(count, T, 25, 3); absent bodies are NaN."""
    stacked = np.full((count, *people[0].shape), np.nan, np.float32)
    stacked[: len(people)] = people
    return stacked


def centre_bodies(points: Points) -> Points:
    """Put body 0's spine base of its first frame that shows it at the origin, for all bodies alike.

    Two people keep their distance. (M, T, 25, 3) -> the same.
    """
    base = points[0, :, SPINE_BASE]
    seen = np.flatnonzero(~np.isnan(base).any(-1))
    return points - base[seen[0]] if len(seen) else points


def rotate_bodies(points: Points) -> Points:
    """Turn all bodies so that body 0 stands along +y with its shoulders (left to right) along +x, facing the sensor.

    Measured in the first frame that shows spine and shoulders: the spine comes to y exactly, the shoulders into the
    plane of x and y. y is the vertical that augmentation turns about; publications that align the spine with z mean
    the same pose with other names of the axes. Points without such a frame stay as they are.
    """
    needed = points[0][:, [SPINE_BASE, SPINE_MID, LEFT_SHOULDER, RIGHT_SHOULDER]]
    for base, mid, left, right in needed[~np.isnan(needed).any((1, 2))]:
        axes = _axes(mid - base, right - left)
        if axes is not None:
            return np.asarray(points @ axes.T, np.float32)
    return points


def _axes(spine: Points, shoulders: Points) -> NDArray[np.float64] | None:
    """(3, 3) rows x, y, z of the body's right-handed frame; None when spine and shoulders are parallel or no length."""
    up, across = spine.astype(np.float64), shoulders.astype(np.float64)
    height = np.linalg.norm(up)
    if height < 1e-6:
        return None
    up /= height
    across -= up * (across @ up)
    width = np.linalg.norm(across)
    if width < 1e-6:
        return None
    across /= width
    return np.stack([across, up, np.cross(across, up)])
