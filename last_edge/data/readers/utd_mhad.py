"""UTD-MHAD: 27 actions by 8 people, Kinect v1 skeletons (Chen et al. 2015)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.data.readers.archive import LARGEST_MEMBER, locate, members, one_file
from last_edge.data.readers.matlab import read_floats
from last_edge.errors import InputError
from last_edge.skeleton import SkeletonClip, get_layout

ACTIONS = (
    "swipe left", "swipe right", "wave", "clap", "throw", "arm cross", "basketball shoot", "draw x",
    "draw circle clockwise", "draw circle counter-clockwise", "draw triangle", "bowling", "boxing", "baseball swing",
    "tennis swing", "arm curl", "tennis serve", "push", "knock", "catch", "pick up and throw", "jog", "walk",
    "sit to stand", "stand to sit", "lunge", "squat",
)  # fmt: skip
FPS = 30.0
CLIP_NAME = re.compile(r"(?:^|/)a(\d+)_s(\d+)_t(\d+)_skeleton\.mat$")


def read_utd_mhad(source: Path) -> Iterator[SkeletonClip]:
    """Clips of `Skeleton.zip` or its folder, in the order of action, subject and trial.

    Odd subjects train, even ones test. Points are metres: x to the subject's right, y up, z away from the sensor.
    Raises `InputError`.
    """
    found = {
        tuple(map(int, named.groups())): (name, content)
        for name, content in members(source, lambda name: CLIP_NAME.search(name) is not None)
        if (named := CLIP_NAME.search(name))
    }
    if not found:
        raise InputError("no UTD-MHAD clips found", where=source, expected="aA_sS_tT_skeleton.mat")
    for (action, subject, trial), (name, content) in sorted(found.items()):
        where = locate(source, name)
        if not 1 <= action <= len(ACTIONS):
            raise InputError("action number outside the dataset", where=where, expected=f"1..{len(ACTIONS)}")
        with one_file():
            yield SkeletonClip.from_points(
                _points(content, where)[None], layout=get_layout("kinect20"), fps=FPS, units="metres",
                label=ACTIONS[action - 1], subject=f"{subject}", source_id=f"a{action}_s{subject}_t{trial}",
                split="train" if subject % 2 else "test",
            )  # fmt: skip


def _points(content: bytes, where: str) -> NDArray[np.float32]:
    """(T, 20, 3) from `d_skel` (20, 3, T)."""
    try:
        skeleton = read_floats(content, most=LARGEST_MEMBER).get("d_skel")
    except ValueError as error:
        raise InputError("damaged .mat file", where=where, got=error) from error
    if skeleton is None or skeleton.ndim != 3:
        raise InputError("no skeleton in the file", where=where, expected="d_skel (20, 3, T)")
    if skeleton.shape[:2] != (20, 3) or skeleton.shape[2] == 0:
        raise InputError("wrong joint count", where=where, expected="d_skel (20, 3, T)", got=skeleton.shape)
    with np.errstate(over="ignore"):
        points = np.asarray(skeleton.transpose(2, 0, 1), np.float32)
    if not np.isfinite(points).all():
        raise InputError("NaN or infinite point", where=where)
    return points
