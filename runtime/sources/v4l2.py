"""What images a Linux camera gives, asked of its driver without opening it for capture (Video4Linux 2)."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

# _IOWR('V', 2, struct v4l2_fmtdesc) and _IOWR('V', 74, struct v4l2_frmsizeenum) of linux/videodev2.h.
ENUM_FMT, ENUM_FRAMESIZES = 0xC0405602, 0xC02C564A
FORMAT = struct.Struct("<III32sII12x")
SIZE = struct.Struct("<III6I8x")
CAPTURE, DISCRETE = 1, 1
MOST = 64
Ioctl = Callable[[int, int, bytearray], object]


def formats(device: Path, *, ioctl: Ioctl | None = None) -> dict[str, tuple[tuple[int, int], ...]]:
    """Sizes, width by height, largest first, by the four letters of a pixel format; empty where nothing is told.

    Of a format with any size between two, the smallest and the largest.
    """
    if ioctl is None:
        from fcntl import ioctl as system_ioctl

        ioctl = system_ioctl
    try:
        handle = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return {}
    try:
        found = {}
        for index in range(MOST):
            asked = bytearray(FORMAT.pack(index, CAPTURE, 0, b"", 0, 0))
            if not _answers(ioctl, handle, ENUM_FMT, asked):
                break
            code = FORMAT.unpack(asked)[4]
            found[code.to_bytes(4, "little").decode("ascii", "replace").strip()] = _sizes(ioctl, handle, code)
        return found
    finally:
        os.close(handle)


def describe(found: dict[str, tuple[tuple[int, int], ...]], *, most: int = 5) -> str:
    """Formats and their sizes in one line, `most` sizes of each."""
    parts = []
    for name, sizes in found.items():
        shown = [f"{width}x{height}" for width, height in sizes[:most]] + (["…"] if len(sizes) > most else [])
        parts.append(" ".join([name, *shown]))
    return "; ".join(parts)


def _sizes(ioctl: Ioctl, handle: int, code: int) -> tuple[tuple[int, int], ...]:
    found = set[tuple[int, int]]()
    for index in range(MOST):
        asked = bytearray(SIZE.pack(index, code, *[0] * 7))
        if not _answers(ioctl, handle, ENUM_FRAMESIZES, asked):
            break
        _, _, kind, *numbers = SIZE.unpack(asked)
        if kind == DISCRETE:
            found.add((numbers[0], numbers[1]))
        else:
            found |= {(numbers[0], numbers[3]), (numbers[1], numbers[4])}
            break
    return tuple(sorted(found, reverse=True))


def _answers(ioctl: Ioctl, handle: int, request: int, asked: bytearray) -> bool:
    """Whether the driver fills in what is asked; False past its last answer and for a device that is no camera."""
    try:
        ioctl(handle, request, asked)
    except OSError:
        return False
    return True
