"""`.mat` files: the same arrays as SciPy gives, and of a damaged one an error and nothing else."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest

from last_edge.data.readers.utd_mhad import COMPRESSED, HEADER, MATRIX, read_floats

MOST = 2**20
VALUES = np.arange(24, dtype=np.float64).reshape(2, 3, 4) / 7


def saved(compressed: bool, **variables: object) -> bytes:
    stream = io.BytesIO()
    pytest.importorskip("scipy.io").savemat(stream, variables, do_compression=compressed)
    return stream.getvalue()


def element(order: str, kind: int, body: bytes) -> bytes:
    return struct.pack(f"{order}II", kind, len(body)) + body + b"\0" * (-len(body) % 8)


def variable(order: str, kind: int, values: bytes, shape: tuple[int, ...], *, about: int = 6) -> bytes:
    parts = [(6, struct.pack(f"{order}II", about, 0)), (5, struct.pack(f"{order}{len(shape)}i", *shape))]
    parts += [(1, b"d_skel"), (kind, values)]
    return element(order, MATRIX, b"".join(element(order, *part) for part in parts))


def file(order: str, body: bytes) -> bytes:
    return b"MATLAB 5.0".ljust(HEADER - 4) + struct.pack(f"{order}H", 0x100) + (b"IM" if order == "<" else b"MI") + body


@pytest.mark.parametrize("compressed", [False, True])
def test_float_arrays_are_those_that_were_saved_and_the_rest_is_passed_over(compressed: bool) -> None:
    given = saved(compressed, one=VALUES, said="text", few=np.float32(VALUES[0]), nested={"a": 1.0}, whole=[1, 2])
    got = read_floats(given, most=MOST)
    assert sorted(got) == ["few", "one"] and got["few"].dtype == np.float32
    np.testing.assert_array_equal(got["one"], VALUES)
    np.testing.assert_array_equal(got["few"], np.float32(VALUES[0]))


@pytest.mark.parametrize("order", ["<", ">"])
def test_whole_numbers_of_a_float_array_stand_in_fewer_bytes(order: str) -> None:
    numbers = (np.arange(6) - 3).astype(f"{order}i2")
    got = read_floats(file(order, variable(order, 3, numbers.tobytes(), (2, 3))), most=MOST)["d_skel"]
    assert got.dtype == np.float64 and got.dtype.isnative
    np.testing.assert_array_equal(got, numbers.reshape(2, 3, order="F"))


def packed(body: bytes) -> bytes:
    """A compressed element, which nothing fills up to eight bytes."""
    content = zlib.compress(body)
    return struct.pack("<II", COMPRESSED, len(content)) + content


def test_what_unpacks_to_more_than_may_be_is_refused() -> None:
    bomb = file("<", packed(variable("<", 9, b"\0" * 2 * MOST, (MOST // 4, 1))))
    assert len(bomb) < 10_000
    with pytest.raises(ValueError, match="unpacks to more"):
        read_floats(bomb, most=MOST)
    assert read_floats(bomb, most=4 * MOST)["d_skel"].size == MOST // 4


@pytest.mark.parametrize("shape", [(2**31 - 1, 2**31 - 1), (-2, -3), (5,), ()])
def test_a_shape_that_its_numbers_do_not_fill_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):
        read_floats(file("<", variable("<", 9, bytes(48), shape)), most=MOST)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_file_is_a_value_error_and_nothing_else(compressed: bool) -> None:
    whole, drawn, refused = saved(compressed, d_skel=VALUES, said="text"), random.Random(0), 0
    for _ in range(2000):
        broken = bytearray(whole)
        for _ in range(drawn.randint(1, 4)):
            broken[drawn.randrange(100, len(broken))] = drawn.randrange(256)
        try:
            read_floats(bytes(broken[: drawn.randint(100, 2 * len(broken))]), most=MOST)
        except ValueError:
            refused += 1
    assert refused > 500
