"""NTU RGB+D 60 and 120 from official `.skeleton` files: protocols by id, missing clips by name, two bodies."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.data.readers.archive import decoded, locate, member_names, members, numbers, one_file
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.skeleton.people import check_person, foremost

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
FILE_NAME = re.compile(r"(?:^|/)(S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3}))\.skeleton$")
CLIP_ID = re.compile(r"S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}")
TRAIN_SUBJECTS = frozenset(
    (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
    + (45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89)
    + (91, 92, 93, 94, 95, 97, 98, 100, 103)
)
"""The 20 of NTU 60 and the 33 more of NTU 120; the first 40 subjects are split alike in both."""
TRAIN_CAMERAS = frozenset((2, 3))
CLASSES = (60, 120)
SPLIT_TYPES = ("xsub", "xview", "xset")
MUTUAL_ACTIONS = frozenset((*range(50, 61), *range(106, 121)))
"""Actions of two people."""
OFFICIAL = "official"
NONE = "none"
FPS = 30.0


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


@dataclass(frozen=True)
class NtuName:
    """What a file name SsssCcccPpppRrrrAaaa says; all counted from 1."""

    clip_id: str
    setup: int
    camera: int
    subject: int
    repeat: int
    action: int

    @classmethod
    def of(cls, setup: int, camera: int, subject: int, repeat: int, action: int) -> NtuName:
        """The name of given ids."""
        clip_id = f"S{setup:03d}C{camera:03d}P{subject:03d}R{repeat:03d}A{action:03d}"
        return cls(clip_id, setup, camera, subject, repeat, action)

    def split(self, split_type: str) -> str:
        """`train` or `test` under a protocol: cross subject, cross view (camera 1 tests), cross setup (odd tests)."""
        trains = {
            "xsub": self.subject in TRAIN_SUBJECTS,
            "xview": self.camera in TRAIN_CAMERAS,
            "xset": self.setup % 2 == 0,
        }
        return "train" if trains[split_type] else "test"


def parse_name(name: str) -> NtuName | None:
    """The ids in a file's name, None when it is no NTU name."""
    found = FILE_NAME.search(name)
    return NtuName(found[1], *map(int, found.groups()[1:])) if found else None


def parse_id(clip_id: str) -> NtuName | None:
    """As `parse_name`, of a bare clip id."""
    return parse_name(f"{clip_id}.skeleton")


SHIPPED = Path(__file__).with_name("ntu_missing.txt")


def missing_ids(choice: str | Path = OFFICIAL) -> frozenset[str]:
    """Clip ids to leave out: the `official` 535 of NTU 120 (302 of them in NTU 60), `none`, or those of a file."""
    if str(choice) == NONE:
        return frozenset()
    return _official() if str(choice) == OFFICIAL else read_missing_list(Path(choice))


@cache
def _official() -> frozenset[str]:
    return read_missing_list(SHIPPED)


def read_missing_list(path: Path) -> frozenset[str]:
    """Clip ids of a text file, one a line, with or without `.skeleton`; headings are skipped."""
    try:
        ids = frozenset(CLIP_ID.findall(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        hint = "--missing-list official, none, or a file"
        raise InputError("missing list cannot be read", where=path, got=error, hint=hint) from error
    if not ids:
        raise InputError("missing list names no clip", where=path, expected="SsssCcccPpppRrrrAaaa on each line")
    return ids


def read_ntu(
    source: Path, *, split_type: str = "xsub", missing_list: str | Path = OFFICIAL, rotate: bool = False,
    centre: bool = True, classes: int | None = None, person: str | None = None,
) -> Iterator[SkeletonClip]:  # fmt: skip
    """Clips (2, T, 25, 3) of a folder or archive of `.skeleton` files, (1, T, 25, 3) of one person alone.

    Bodies are denoised by length and spread and ranked by motion; both are centred on body 0's first valid frame, or
    left in the camera's metres with centre=False. person: who is kept alone, as `last_edge.skeleton.people` ranks them,
    left and right as the sensor sees; None keeps both. missing_list: clips to leave out, see `missing_ids`. classes: 60
    takes NTU 60 out of a folder that holds NTU 120. A clip in which no body was ever tracked comes with every point
    missing. Label is A - 1. Raises `UsageError` for an unknown protocol, `InputError` naming file and line.
    """
    if split_type not in SPLIT_TYPES:
        raise UsageError("unknown NTU protocol", expected=" | ".join(SPLIT_TYPES), got=split_type)
    whom = None if person is None else check_person(person)
    missing, labels = missing_ids(missing_list), ntu_labels(source, {"classes": classes})

    def wanted(file_name: str) -> bool:
        name = parse_name(file_name)
        return name is not None and name.clip_id not in missing and 1 <= name.action <= len(labels)

    for file_name, content in members(source, wanted):
        name = parse_name(file_name)
        if name is None:
            continue
        with one_file():
            where = locate(source, file_name)
            bodies = parse_skeleton(decoded(content, where), where)
            if whom is None:
                people, count = select_bodies(bodies), BODIES
            else:
                people, count = select_bodies(bodies, keep=len(bodies)), 1
                people = [people[foremost(people, whom, middle=0.0)]] if people else []
            points = stack_bodies(people, count=count) if people else np.full((count, 1, JOINTS, 3), np.nan, np.float32)
            points = centre_bodies(points) if centre else points
            yield SkeletonClip.from_points(
                rotate_bodies(points) if rotate else points, layout=get_layout("ntu25"), fps=FPS, units="metres",
                subject=f"P{name.subject:03d}", source_id=name.clip_id, camera=f"C{name.camera:03d}",
                setup=f"S{name.setup:03d}", label=labels[name.action - 1], split=name.split(split_type),
            )  # fmt: skip


def ntu_labels(source: Path, options: dict[str, Any]) -> tuple[str, ...]:
    """`A001` ... `A060`, or to `A120` where an action above 60 is present or `classes` says so."""
    classes = options.get("classes")
    if classes is None:
        actions = [name.action for name in map(parse_name, member_names(source)) if name]
        if not actions:
            raise InputError("no NTU clips found", where=source, expected="SsssCcccPpppRrrrAaaa.skeleton")
        classes = 120 if max(actions) > 60 else 60
    if classes not in CLASSES:
        raise UsageError("NTU RGB+D has no such number of classes", expected=CLASSES, got=classes)
    return tuple(f"A{action:03d}" for action in range(1, classes + 1))
