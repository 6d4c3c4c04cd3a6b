"""Formats of a camera as its driver tells them, by the structures of linux/videodev2.h."""

from __future__ import annotations

import errno
import struct
import sys
from pathlib import Path

import pytest

from last_edge.runtime.sources.live import ENUM_FMT, ENUM_FRAMESIZES, FORMAT, SIZE, describe, formats

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Video4Linux is of Linux")
SIZES = {b"MJPG": [(640, 480), (1920, 1080), (1280, 720)], b"YUYV": [(320, 240), (640, 480)]}


def camera(handle: int, request: int, asked: bytearray) -> None:
    """Two formats of fixed sizes and one of any size."""
    index, code = struct.unpack_from("<II", asked)
    names = [*SIZES, b"NV12"]
    if request == ENUM_FMT:
        if index >= len(names):
            raise OSError(errno.EINVAL, "no more")
        number = int.from_bytes(names[index], "little")
        asked[:] = FORMAT.pack(index, 1, 0, b"a format", number, 0)
        return
    assert request == ENUM_FRAMESIZES
    name = code.to_bytes(4, "little")
    if name == b"NV12":
        asked[:] = SIZE.pack(index, code, 3, 64, 2592, 2, 48, 1944, 2)
    elif index < len(SIZES[name]):
        asked[:] = SIZE.pack(index, code, 1, *SIZES[name][index], 0, 0, 0, 0)
    else:
        raise OSError(errno.EINVAL, "no more")


def test_every_format_with_its_sizes_largest_first() -> None:
    found = formats(Path("/dev/null"), ioctl=camera)
    assert found == {
        "MJPG": ((1920, 1080), (1280, 720), (640, 480)),
        "YUYV": ((640, 480), (320, 240)),
        "NV12": ((2592, 1944), (64, 48)),
    }
    assert describe(found, most=2) == "MJPG 1920x1080 1280x720 …; YUYV 640x480 320x240; NV12 2592x1944 64x48"


def test_structures_are_as_large_as_the_kernels() -> None:
    # The size of what is passed stands in the request itself.
    assert (FORMAT.size, SIZE.size) == (ENUM_FMT >> 16 & 0x3FFF, ENUM_FRAMESIZES >> 16 & 0x3FFF) == (64, 44)


def test_what_is_no_camera_tells_nothing(tmp_path: Path) -> None:
    assert formats(Path("/dev/null")) == {} and formats(tmp_path / "absent") == {}
