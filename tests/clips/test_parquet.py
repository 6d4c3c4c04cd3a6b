"""The index's own Parquet: what is written here pyarrow reads, and the other way round."""

import random

import pyarrow
import pytest
from pyarrow import parquet

from last_edge.clips.parquet import NotRead, read_columns, unsnappy, write_columns

COLUMNS = {
    "offset": list(range(0, 70_000, 7)),
    "label": [-1, *range(9_999)],
    "fps": [30.0, 24.5] * 5_000,
    "subject": [f"P{number % 40:03d}" for number in range(10_000)],
    "source_id": [f"take/{number}·ß" for number in range(10_000)],
    "camera": [None, "", "left"] * 3_333 + [None],
    "text": [""] * 10_000,
}


def by_pyarrow(columns, tmp_path, **how):
    file = tmp_path / "theirs.parquet"
    parquet.write_table(pyarrow.table(columns), file, **how)
    return file.read_bytes()


def test_pyarrow_reads_what_is_written_here(tmp_path):
    file = tmp_path / "ours.parquet"
    file.write_bytes(write_columns(COLUMNS))
    table = parquet.read_table(file)
    assert table.to_pydict() == COLUMNS
    assert [str(table.schema.field(name).type) for name in ("offset", "fps", "text")] == ["int64", "double", "string"]


@pytest.mark.parametrize("how", [{}, {"compression": "none"}, {"use_dictionary": False}, {"row_group_size": 999}])
def test_what_pyarrow_writes_is_read_here(tmp_path, how):
    assert read_columns(by_pyarrow(COLUMNS, tmp_path, **how)) == COLUMNS


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9])
def test_own_files_of_few_rows(rows):
    few = {name: values[:rows] for name, values in COLUMNS.items()}
    assert read_columns(write_columns(few)) == few


@pytest.mark.parametrize("how", [{"compression": "zstd"}, {"data_page_version": "2.0"}])
def test_other_parts_of_the_format_are_named_as_not_read(tmp_path, how):
    with pytest.raises(NotRead):
        read_columns(by_pyarrow(COLUMNS, tmp_path, **how))


def test_a_damaged_file_is_a_value_error_and_nothing_else():
    whole = write_columns({name: values[:50] for name, values in COLUMNS.items()})
    drawn = random.Random(0)
    refused = 0
    for _ in range(400):
        broken = bytearray(whole)
        for _ in range(drawn.randint(1, 4)):
            broken[drawn.randrange(len(broken))] = drawn.randrange(256)
        try:
            read_columns(bytes(broken[: drawn.randint(1, len(broken))]))
        except ValueError:
            refused += 1
    assert refused > 350


def test_snappy_copies_that_overlap_repeat_what_they_made():
    # 10 bytes: the literal "ab", then eight bytes from two back.
    assert unsnappy(bytes([10, 1 << 2, *b"ab", (8 - 4) << 2 | 1, 2])) == b"ab" * 5


def test_a_file_that_promises_more_rows_than_there_are_is_refused_before_it_is_read():
    """A page of absent values is a few bytes however many it names."""
    whole = write_columns({"label": list(range(50))})
    with pytest.raises(ValueError, match="50 rows, expected 49"):
        read_columns(whole, rows=49)
    more = whole.replace(b"\x15\x64", b"\x15\x7e", 1)  # the page's own count: 63
    with pytest.raises(ValueError, match="more values than its column"):
        read_columns(more)
