"""The part of Parquet that an index of clips needs, on numpy alone: flat columns of whole numbers, numbers and text.

What is written here any reader of Parquet opens; what pyarrow writes by default is read here too. Everything is by the
format's own description (apache/parquet-format): Thrift's compact protocol, data pages of version 1, values plain or in
a dictionary, pages uncompressed or Snappy.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"PAR1"
INT64, DOUBLE, TEXT = 2, 5, 6
DTYPES = {INT64: np.dtype("<i8"), DOUBLE: np.dtype("<f8")}
PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY = 0, 2, 3, 8
NOT_COMPRESSED, SNAPPY = 0, 1
DATA_PAGE, DICTIONARY_PAGE = 0, 2
OPTIONAL, UTF8 = 1, 0
WRITER = "last-edge"
# Thrift's compact types.
TRUE, FALSE, BYTE, I16, I32, I64, FLOAT, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)

Field = tuple[int, int, Any]
"""Number, type and value of a Thrift field; of a list the value is (type of its items, items)."""


class NotRead(ValueError):
    """A file that is in order but uses a part of Parquet that is not read here."""


def write_columns(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """A file of columns of equal length, each all `int`, all numbers, or text and None."""
    rows = len(next(iter(columns.values()), ()))
    content, chunks = bytearray(MAGIC), []
    schema: list[list[Field]] = [[(4, BINARY, b"schema"), (5, I32, len(columns))]]
    for name, values in columns.items():
        kind = _kind(values)
        text: list[Field] = [(6, I32, UTF8)] if kind == TEXT else []
        schema.append([(1, I32, kind), (3, I32, OPTIONAL), (4, BINARY, name.encode()), *text])
        start = len(content)
        present = [value for value in values if value is not None]
        places: list[Field] = []
        if kind == TEXT:
            different = {value: number for number, value in enumerate(dict.fromkeys(present))}
            words = [value.encode() for value in different]
            listed = b"".join(struct.pack("<I", len(word)) + word for word in words)
            content += _page(DICTIONARY_PAGE, listed, 7, [(1, I32, len(words)), (2, I32, PLAIN)])
            width = max(1, (len(words) - 1).bit_length())
            numbers = np.array([different[value] for value in present], np.int64)
            body, encoding = bytes([width]) + _bit_packed(numbers, width), RLE_DICTIONARY
            places = [(9, I64, len(content)), (11, I64, start)]
        else:
            body, encoding, places = np.array(present, DTYPES[kind]).tobytes(), PLAIN, [(9, I64, start)]
        levels = _bit_packed(np.array([value is not None for value in values], np.int64), 1)
        about: list[Field] = [(1, I32, rows), (2, I32, encoding), (3, I32, RLE), (4, I32, RLE)]
        content += _page(DATA_PAGE, struct.pack("<I", len(levels)) + levels + body, 5, about)
        size = len(content) - start
        described: list[Field] = [
            (1, I32, kind), (2, LIST, (I32, [RLE, encoding])), (3, LIST, (BINARY, [name.encode()])),
            (4, I32, NOT_COMPRESSED), (5, I64, rows), (6, I64, size), (7, I64, size), *places,
        ]  # fmt: skip
        chunks.append([(2, I64, start), (3, STRUCT, described)])
    group: list[Field] = [(1, LIST, (STRUCT, chunks)), (2, I64, len(content) - len(MAGIC)), (3, I64, rows)]
    footer = _struct([
        (1, I32, 1), (2, LIST, (STRUCT, schema)), (3, I64, rows), (4, LIST, (STRUCT, [group])),
        (6, BINARY, WRITER.encode()),
    ])  # fmt: skip
    return bytes(content + footer + struct.pack("<I", len(footer)) + MAGIC)


def read_columns(content: bytes, *, rows: int | None = None) -> dict[str, list[Any]]:
    """Columns of a file, None where a value is absent. Raises `NotRead`, and `ValueError` for a damaged file.

    rows: how many there are to be where that is known, so that no file of a few bytes asks for memory of its own.
    """
    try:
        if content[:4] != MAGIC or content[-4:] != MAGIC:
            raise ValueError("no Parquet file")
        (length,) = struct.unpack("<I", content[-8:-4])
        footer = Thrift(content, len(content) - 8 - length).read_struct()
        elements = footer[2][1:]
        if any(5 in element for element in elements):
            raise NotRead("nested columns")
        if rows is not None and footer[3] != rows:
            raise ValueError(f"{footer[3]} rows, expected {rows}")
        columns: dict[str, list[Any]] = {element[4].decode(): [] for element in elements}
        for group in footer[4]:
            for element, chunk in zip(elements, group[1], strict=True):
                columns[element[4].decode()] += _chunk(
                    content, chunk[3], rows=footer[3], optional=element.get(3) == OPTIONAL
                )
    except (IndexError, KeyError, TypeError, OverflowError, struct.error, RecursionError) as error:
        raise ValueError(f"damaged: {type(error).__name__}: {error}") from error
    if any(len(values) != footer[3] for values in columns.values()):
        raise ValueError("columns of another length than the file says")
    return columns


def _kind(values: Sequence[Any]) -> int:
    if values and all(isinstance(value, int) for value in values):
        return INT64
    return DOUBLE if values and all(isinstance(value, int | float) for value in values) else TEXT


def _page(kind: int, body: bytes, about: int, fields: list[Field]) -> bytes:
    header: list[Field] = [(1, I32, kind), (2, I32, len(body)), (3, I32, len(body)), (about, STRUCT, fields)]
    return _struct(header) + body


def _bit_packed(values: NDArray[np.int64], width: int) -> bytes:
    """One bit-packed run, filled to a multiple of eight values."""
    groups = -(-len(values) // 8)
    filled = np.concatenate([values, np.zeros(groups * 8 - len(values), np.int64)])
    bits = (filled[:, None] >> np.arange(width)) & 1
    return _varint(groups << 1 | 1) + np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()


def _runs(content: bytes, width: int, count: int) -> NDArray[np.int64]:
    """`count` values of runs, repeated or bit-packed."""
    parts, found, reader = [np.zeros(0, np.int64)], 0, Thrift(content, 0)
    while found < count:
        head = reader.varint()
        if head & 1:
            packed = np.frombuffer(reader.take(min((head >> 1) * width, len(content))), np.uint8)
            bits = np.unpackbits(packed, bitorder="little").astype(np.int64)
            part = (bits[: len(bits) // width * width].reshape(-1, width) << np.arange(width)).sum(1)
        else:
            value = int.from_bytes(reader.take(-(-width // 8)), "little")
            part = np.full(min(head >> 1, count - found), value, np.int64)
        if not len(part):
            raise ValueError("an empty run")
        parts.append(part)
        found += len(part)
    return np.concatenate(parts)[:count]


def _chunk(content: bytes, about: dict[int, Any], *, rows: int, optional: bool) -> list[Any]:
    """The values of one column in one row group of a file of so many rows."""
    kind, codec, wanted = about[1], about[4], about[5]
    if wanted > rows:
        raise ValueError(f"a column of {wanted} values in a file of {rows} rows")
    if codec not in (NOT_COMPRESSED, SNAPPY) or kind not in (INT64, DOUBLE, TEXT):
        raise NotRead(f"type {kind}, compression {codec}")
    reader = Thrift(content, min(about.get(11) or about[9], about[9]))
    words: list[Any] = []
    values: list[Any] = []
    while len(values) < wanted:
        header = reader.read_struct()
        if header[1] not in (DICTIONARY_PAGE, DATA_PAGE):
            raise NotRead(f"page {header[1]}")
        body = reader.take(header[3])
        if codec == SNAPPY:
            body = unsnappy(body)
        if header[1] == DICTIONARY_PAGE:
            words = _plain(body, kind, header[7][1])
        else:
            if header[5][1] > wanted - len(values):
                raise ValueError("a page of more values than its column")
            values += _data(body, kind, header[5], words, optional=optional)
    return values


def _data(body: bytes, kind: int, header: dict[int, Any], words: list[Any], *, optional: bool) -> list[Any]:
    count, encoding = header[1], header[2]
    if count <= 0:
        raise ValueError("an empty page")
    present = np.ones(count, bool)
    if optional:
        (length,) = struct.unpack("<I", body[:4])
        present, body = _runs(body[4 : 4 + length], 1, count) == 1, body[4 + length :]
    held = int(present.sum())
    if encoding in (PLAIN_DICTIONARY, RLE_DICTIONARY):
        width = body[0] if held else 0
        numbers = _runs(body[1:], width, held) if width else np.zeros(held, np.int64)
        values = [words[number] for number in numbers.tolist()]
    elif encoding == PLAIN:
        values = _plain(body, kind, held)
    else:
        raise NotRead(f"encoding {encoding}")
    if held == count:
        return values
    given = iter(values)
    return [next(given) if here else None for here in present]


def _plain(body: bytes, kind: int, count: int) -> list[Any]:
    if kind != TEXT:
        return list(np.frombuffer(body, DTYPES[kind], count).tolist())
    words, at = [], 0
    for _ in range(count):
        start = at + 4
        at = start + int.from_bytes(body[at:start], "little")
        words.append(body[start:at].decode())
    if at > len(body):
        raise IndexError("the bytes end too soon")
    return words


def unsnappy(content: bytes) -> bytes:
    """What Snappy compressed; `ValueError` where it is damaged."""
    reader, made = Thrift(content, 0), bytearray()
    size = reader.varint()
    while len(made) < size:
        tag = reader.byte()
        if tag & 3 == 0:
            length = tag >> 2
            length = length if length < 60 else int.from_bytes(reader.take(length - 59), "little")
            made += reader.take(length + 1)
            continue
        if tag & 3 == 1:
            length, back = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | reader.byte()
        else:
            length, back = (tag >> 2) + 1, int.from_bytes(reader.take(2 if tag & 3 == 2 else 4), "little")
        if not 0 < back <= len(made):
            raise ValueError("damaged Snappy page")
        for _ in range(-(-length // back)):
            piece = made[-back:][: min(back, length)]
            made += piece
            length -= len(piece)
    return bytes(made)


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


def _value(kind: int, value: Any) -> bytes:
    if kind in (I32, I64):
        return _varint(value << 1 if value >= 0 else (-value << 1) - 1)
    if kind == BINARY:
        return _varint(len(value)) + bytes(value)
    if kind == STRUCT:
        return _struct(value)
    inner, items = value
    head = bytes([len(items) << 4 | inner]) if len(items) < 15 else bytes([15 << 4 | inner]) + _varint(len(items))
    return head + b"".join(_value(inner, item) for item in items)


def _struct(fields: list[Field]) -> bytes:
    made, last = bytearray(), 0
    for number, kind, value in fields:
        made += bytes([number - last << 4 | kind]) + _value(kind, value)
        last = number
    return bytes(made) + b"\0"


class Thrift:
    """Reads Thrift's compact protocol from `at` on; `IndexError` where the bytes end too soon."""

    def __init__(self, content: bytes, at: int) -> None:
        if at < 0:
            raise ValueError("an offset outside the file")
        self._content, self._at = content, at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        part = self._content[self._at : self._at + size]
        if size < 0 or len(part) < size:
            raise IndexError("the bytes end too soon")
        self._at += size
        return part

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """A number of seven bits a byte."""
        number = shift = 0
        while True:
            part = self.byte()
            number |= (part & 127) << shift
            shift += 7
            if part < 128:
                return number
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def read_struct(self) -> dict[int, Any]:
        """Values by the number of their field."""
        fields: dict[int, Any] = {}
        number = 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            fields[number] = self._value(head & 15)
        return fields

    def _signed(self) -> int:
        number = self.varint()
        return number >> 1 ^ -(number & 1)

    def _value(self, kind: int) -> Any:
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind == BYTE:
            return self.byte()
        if kind in (I16, I32, I64):
            return self._signed()
        if kind == FLOAT:
            return struct.unpack("<d", self.take(8))[0]
        if kind == BINARY:
            return self.take(self.varint())
        if kind in (LIST, SET):
            head = self.byte()
            size = head >> 4 if head >> 4 < 15 else self.varint()
            # A list of truths takes a byte an item.
            return [self.byte() == TRUE if head & 15 in (TRUE, FALSE) else self._value(head & 15) for _ in range(size)]
        if kind == MAP:
            size = self.varint()
            kinds = self.byte() if size else 0
            return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(size)]
        if kind == STRUCT:
            return self.read_struct()
        raise ValueError(f"unknown type {kind}")
