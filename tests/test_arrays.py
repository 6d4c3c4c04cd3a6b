"""Arrays in files: equal arrays give equal bytes, and nothing damaged, absurd or pickled is read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from last_edge.arrays import GrowingArray, map_npy, npz_bytes, read_npz
from last_edge.errors import InputError

ARRAYS = {"points": np.arange(6, dtype=np.float32).reshape(2, 3), "names": np.array(["a", "b"])}


def zipped(member: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("points.npy", member)
    return buffer.getvalue()


def npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def test_arrays_come_back_and_equal_ones_give_equal_bytes() -> None:
    content = npz_bytes(ARRAYS)
    assert content == npz_bytes(ARRAYS)
    found = read_npz(content, where="here", what="damaged")
    assert found.keys() == ARRAYS.keys() and all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)


@pytest.mark.parametrize(
    "member",
    [
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,)}"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", b"\0" * 7),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"\0" * 8),
        npy("{'descr': '<f4', 1: False, 'shape': (1,)}", b"\0" * 4),
        npy("-" * 9000 + "1"),
        b"no array",
        b"",
    ],
)
def test_what_is_no_array_is_named_and_not_read(member: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"damaged(.|\n)*here › points"):
        read_npz(zipped(member), where="here", what="damaged")
    (tmp_path / "points.npy").write_bytes(member)
    with pytest.raises(InputError, match=r"cache: damaged array(.|\n)*points\.npy"):
        map_npy(tmp_path / "points.npy", np.float32, of="cache")


def test_an_array_grows_row_by_row(tmp_path: Path) -> None:
    grown = GrowingArray(tmp_path / "rows.npy", np.float32)
    for row in ARRAYS["points"]:
        grown.append(row[None])
    grown.close()
    np.testing.assert_array_equal(map_npy(tmp_path / "rows.npy", np.float32, of="rows", shape=(2, 3)), ARRAYS["points"])
    with pytest.raises(InputError, match="does not fit the header"):
        map_npy(tmp_path / "rows.npy", np.float32, of="rows", shape=(3, 3))
