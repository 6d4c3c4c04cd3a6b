"""UTD-MHAD: 27 actions by 8 people, Kinect v1 skeletons (Chen et al. 2015), in `.mat` files of MATLAB 5 to 7.

SciPy's reader of them is native code that a changed byte can bring down, and unpacks without a limit: so numpy reads.
"""

import itertools
import math
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.data.readers.archive import LARGEST_MEMBER, locate, members, one_file
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
HEADER = 128
MATRIX, COMPRESSED = 14, 15
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""What an element's number means. MATLAB stores whole numbers of a float array in as few bytes as they take."""
CLASSES = {6: np.float64, 7: np.float32}
"""Classes of arrays that are read; cells, structures, text and whole numbers are passed over."""
COMPLEX = 0x800
Element = tuple[int, bytes]


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


def read_floats(content: bytes, *, most: int) -> dict[str, NDArray[np.floating]]:
    """Float arrays of a file by their names. most: bytes that a variable may unpack to. `ValueError` where damaged."""
    mark = content[126:HEADER]
    if mark not in (b"IM", b"MI"):
        raise ValueError("no MATLAB file of version 5 to 7")
    order = "<" if mark == b"IM" else ">"
    found = {}
    for kind, body in _elements(content[HEADER:], order):
        if kind == COMPRESSED:
            ((kind, body),) = _elements(_unpacked(body, most), order)
        if kind != MATRIX:
            raise ValueError(f"element {kind} where a variable is to stand")
        name, values = _variable(body, order)
        if values is not None:
            found[name] = values
    return found


def _elements(content: bytes, order: str) -> Iterator[Element]:
    """(type, bytes) one after the other; each begins at a multiple of eight bytes, but for compressed ones."""
    at = 0
    while at < len(content):
        if len(content) - at < 8:
            raise ValueError("the bytes end too soon")
        kind, size = struct.unpack_from(f"{order}II", content, at)
        at += 8
        if kind >> 16:  # a small one: its size and its four bytes stand in the same eight
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
            yield kind, content[at - 4 : at - 4 + size]
            continue
        if size > len(content) - at:
            raise ValueError("the bytes end too soon")
        yield kind, content[at : at + size]
        at += size if kind == COMPRESSED else -(-size // 8) * 8


def _unpacked(content: bytes, most: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        made = stream.decompress(content, most)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if stream.unconsumed_tail or not stream.eof:
        raise ValueError(f"it unpacks to more than {most} bytes" if len(made) == most else "the bytes end too soon")
    return made


def _variable(content: bytes, order: str) -> tuple[str, NDArray[np.floating] | None]:
    """Name and values of one; None for what is no float array."""
    parts = _elements(content, order)
    flags, shape, name = itertools.islice(parts, 3)
    if len(flags[1]) != 8 or TYPES.get(shape[0]) != "i4" or len(shape[1]) % 4:
        raise ValueError("a variable without flags or shape")
    (about, _) = struct.unpack(f"{order}II", flags[1])
    dtype = CLASSES.get(about & 0xFF)
    if dtype is None or about & COMPLEX:
        return name[1].decode("latin-1"), None
    dimensions = struct.unpack(f"{order}{len(shape[1]) // 4}i", shape[1])
    ((kind, values),) = itertools.islice(parts, 1)
    if kind not in TYPES:
        raise ValueError(f"numbers of type {kind}")
    stored = np.dtype(f"{order}{TYPES[kind]}")
    if min(dimensions, default=-1) < 0 or math.prod(dimensions) * stored.itemsize != len(values):
        raise ValueError(f"{len(values)} bytes for an array of {dimensions}")
    return name[1].decode("latin-1"), np.frombuffer(values, stored).astype(dtype).reshape(dimensions, order="F")
