"""NTU RGB+D 60 and 120 from official `.skeleton` files: protocols by id, missing clips by name, two bodies a clip."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from last_edge.data.readers.archive import decoded, locate, member_names, members, one_file
from last_edge.data.readers.ntu_skeleton import (
    BODIES,
    JOINTS,
    centre_bodies,
    parse_skeleton,
    rotate_bodies,
    select_bodies,
    stack_bodies,
)
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.skeleton.people import check_person, foremost

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
