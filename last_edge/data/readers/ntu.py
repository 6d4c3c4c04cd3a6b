"""NTU RGB+D 60 and 120 from official `.skeleton` files: protocols by id, missing clips by name, two bodies a clip."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from last_edge.data.readers.archive import locate, member_names, members
from last_edge.data.readers.ntu_bodies import BODIES, centre_bodies, rotate_bodies, select_bodies, stack_bodies
from last_edge.data.readers.ntu_file import JOINTS, parse_skeleton
from last_edge.data.readers.ntu_missing import OFFICIAL, missing_ids
from last_edge.data.readers.ntu_names import CLASSES, SPLIT_TYPES, NtuName, parse_name
from last_edge.errors import InputError, UsageError
from last_edge.skeleton.clip import SkeletonClip
from last_edge.skeleton.layout import get_layout

FPS = 30.0


def read_ntu(
    source: Path,
    *,
    split_type: str = "xsub",
    missing_list: str | Path = OFFICIAL,
    rotate: bool = False,
    centre: bool = True,
    classes: int | None = None,
) -> Iterator[SkeletonClip]:
    """Clips (2, T, 25, 3) of a folder or archive of `.skeleton` files.

    Bodies are denoised by length and spread and ranked by motion; both are centred on body 0's first valid frame, or
    left in the camera's metres with centre=False. missing_list: clips to leave out, see `missing_ids`. classes: 60
    takes NTU 60 out of a folder that holds NTU 120. A clip in which no body was ever tracked comes with every point
    missing. Label is A - 1. Raises `UsageError` for an unknown protocol, `InputError` naming file and line.
    """
    if split_type not in SPLIT_TYPES:
        raise UsageError("unknown NTU protocol", expected=" | ".join(SPLIT_TYPES), got=split_type)
    missing, labels = missing_ids(missing_list), ntu_labels(source, {"classes": classes})

    def wanted(file_name: str) -> bool:
        name = parse_name(file_name)
        return name is not None and name.clip_id not in missing and 1 <= name.action <= len(labels)

    for file_name, content in members(source, wanted):
        name = parse_name(file_name)
        if name is not None:
            clip = _clip(name, content, locate(source, file_name), labels=labels, split=name.split(split_type))
            yield _placed(clip, centre=centre, rotate=rotate)


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


def _clip(name: NtuName, content: bytes, where: str, *, labels: tuple[str, ...], split: str) -> SkeletonClip:
    try:
        bodies = parse_skeleton(content.decode("ascii"), where)
    except UnicodeDecodeError as error:
        raise InputError("not a text file", where=where, got=error) from error
    people = select_bodies(bodies)
    return SkeletonClip.from_points(
        stack_bodies(people) if people else np.full((BODIES, 1, JOINTS, 3), np.nan, np.float32),
        layout=get_layout("ntu25"),
        fps=FPS,
        units="metres",
        subject=f"P{name.subject:03d}",
        source_id=name.clip_id,
        camera=f"C{name.camera:03d}",
        setup=f"S{name.setup:03d}",
        label=labels[name.action - 1],
        split=split,
    )


def _placed(clip: SkeletonClip, *, centre: bool, rotate: bool) -> SkeletonClip:
    points = centre_bodies(clip.coords) if centre else clip.coords
    return dataclasses.replace(clip, coords=rotate_bodies(points) if rotate else points)
