"""What the name of an NTU RGB+D file says, and which split that makes it under each protocol."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
