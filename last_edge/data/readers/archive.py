"""Files of a dataset from a folder, a .zip or a .tar, never unpacked to disk; what becomes of a damaged one."""

import csv
import io
import logging
import math
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.arrays import read_npz
from last_edge.errors import InputError, UsageError
from last_edge.files import DAMAGED_ARCHIVE

logger = logging.getLogger(__name__)
_faults: ContextVar[list[InputError] | None] = ContextVar("faults", default=None)
LARGEST_MEMBER = 256 * 2**20
"""Bytes one member may unpack to; more is taken for a decompression bomb."""

ARCHIVE_NAME = re.compile(r"\.(zip|tar|tgz|txz|tar\.\w+)$")

Wanted = Callable[[str], bool]
Member = tuple[str, bytes]


@contextmanager
def leaving_out() -> Iterator[list[InputError]]:
    """While this is open damaged files are left out of what readers give; the list fills with their errors."""
    faults: list[InputError] = []
    token = _faults.set(faults)
    try:
        yield faults
    finally:
        _faults.reset(token)


@contextmanager
def one_file() -> Iterator[None]:
    """Around one file or clip: its `InputError` is noted where damaged files are left out, else raised."""
    try:
        yield
    except InputError as error:
        faults = _faults.get()
        if faults is None:
            raise
        faults.append(error)
        logger.warning("left out: %s", " ".join(str(error).split()))


def members(source: Path, wanted: Wanted) -> Iterator[Member]:
    """(name, bytes) of each file whose name is `wanted`: a folder in sorted order, an archive in its own, or one file.

    A folder without such a file but with one archive is read from the archive.
    Every name of an archive is checked, wanted or not. Raises `InputError` for an absent or damaged source, a name
    that leaves the archive (absolute or with `..`), a link, and a member above `LARGEST_MEMBER`.
    """
    if source.is_dir():
        packed = _only_archive(source, wanted)
        return members(packed, wanted) if packed else _folder(source, wanted)
    if not source.is_file():
        raise InputError("no such file or folder", where=source, hint="last-edge data prepare --help")
    if not ARCHIVE_NAME.search(source.name) and wanted(source.name):
        return iter([(source.name, source.read_bytes())])
    if zipfile.is_zipfile(source):
        return _guarded(_zip(source, wanted), source)
    return _guarded(_tar(source, wanted), source)


def member_names(source: Path) -> list[str]:
    """Names of all files of a source, without reading any of them."""
    if source.is_file() and not ARCHIVE_NAME.search(source.name):
        return [source.name]
    names: list[str] = []

    def record(name: str) -> bool:
        names.append(name)
        return False

    list(members(source, record))
    return names


def locate(source: Path, name: str) -> str:
    """How an error names one member of a source."""
    if source.name == name:
        return str(source)
    return str(source / name) if source.is_dir() else f"{source} › {name}"


def _only_archive(folder: Path, wanted: Wanted) -> Path | None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    packed = [path for path in files if ARCHIVE_NAME.search(path.name)]
    if len(packed) != 1 or any(wanted(path.relative_to(folder).as_posix()) for path in files):
        return None
    return packed[0]


def _folder(source: Path, wanted: Wanted) -> Iterator[Member]:
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if wanted(name) and path.is_file():
            yield name, path.read_bytes()


def _zip(source: Path, wanted: Wanted) -> Iterator[Member]:
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            _check(source, info.filename, info.file_size)
            if not info.is_dir() and wanted(info.filename):
                yield info.filename, archive.read(info)


def _tar(source: Path, wanted: Wanted) -> Iterator[Member]:
    with tarfile.open(source, "r|*") as archive:
        for info in archive:
            _check(source, info.name, info.size)
            if info.issym() or info.islnk() or info.isdev():
                raise InputError("archive holds a link or device", where=locate(source, info.name))
            stream = archive.extractfile(info) if info.isfile() and wanted(info.name) else None
            if stream is not None:
                yield info.name, stream.read()


def _check(source: Path, name: str, size: int) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise InputError("archive member leaves its folder", where=locate(source, name), hint="do not use this archive")
    if size > LARGEST_MEMBER:
        raise InputError("archive member too large", where=locate(source, name), expected=LARGEST_MEMBER, got=size)


def _guarded(found: Iterator[Member], source: Path) -> Iterator[Member]:
    """Name the archive when it turns out to be damaged."""
    try:
        yield from found
    except DAMAGED_ARCHIVE as error:
        raise InputError("not an archive, or a damaged one", where=source, got=error) from error


def load_arrays(content: bytes, where: str) -> dict[str, NDArray[Any]]:
    """Every array of a `.npz`; `InputError` names a damaged file, a pickle, and a member that would need one."""
    hint = "numpy.savez(file, frames=..., lengths=..., labels=...) of plain numbers and strings"
    if not content.startswith(b"PK"):
        what = "a pickle is never read" if content[:1] == b"\x80" else "not a .npz file"
        raise InputError(what, where=where, hint=hint)
    return read_npz(content, where=where, what="damaged .npz file", hint=hint)


def need(arrays: dict[str, NDArray[Any]], name: str, where: str) -> NDArray[Any]:
    """An array that must be there; `InputError` lists what is."""
    if name not in arrays:
        raise InputError(f"array {name!r} is absent", where=where, got=", ".join(sorted(arrays)))
    return arrays[name]


def check_lengths(lengths: NDArray[Any], total: int, where: str) -> NDArray[np.int64]:
    """(N,) frames of each clip, checked to be whole numbers that add up to `total`."""
    if lengths.ndim != 1 or not np.issubdtype(lengths.dtype, np.integer) or (lengths < 1).any():
        raise InputError("lengths must be whole numbers above 0", where=where, got=f"{lengths.dtype} {lengths.shape}")
    if int(lengths.sum()) != total:
        raise InputError("lengths do not add up to the frames", where=where, expected=total, got=int(lengths.sum()))
    return lengths.astype(np.int64)


def decoded(content: bytes, where: str) -> str:
    """UTF-8 text, with or without a byte order mark; `InputError` where it is none."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not a UTF-8 text file", where=where, got=error) from error


def numbers(fields: Iterable[str], where: str) -> list[float]:
    """Finite numbers; `InputError` where one is not."""
    try:
        values = list(map(float, fields))
    except ValueError as error:
        raise InputError("not a number", where=where, got=error) from error
    if not all(map(math.isfinite, values)):
        raise InputError("NaN or infinite point", where=where)
    return values


def table_rows(
    content: bytes, where: str, *, needed: tuple[str, ...], more: tuple[str, ...] | None = (), delimiter: str = ""
) -> Iterator[tuple[str, dict[str, str]]]:
    """(place, row) of each line of a table with a heading; more: columns there may be, any when None.

    delimiter: between fields; else the comma, semicolon or tab of which the heading has most. `InputError` names the
    file or the line that is not so; a line is left out where damaged files are (`faults`).
    """
    text = decoded(content, where)
    heading = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter or max(",;\t", key=heading.count))
    known = (*needed, *(more or ()))
    try:
        columns = tuple(reader.fieldnames or ())
    except csv.Error as error:
        raise InputError("not a table", where=where, got=error) from error
    if not set(needed) <= set(columns) or (more is not None and not set(columns) <= set(known)):
        raise InputError("wrong columns", where=where, expected=known, got=columns)
    try:
        for number, row in enumerate(reader, start=2):
            if None in row or None in row.values():
                with one_file():
                    raise InputError("a row has more or fewer fields than the heading", where=f"{where}:{number}")
                continue
            if any("\0" in cell for cell in row.values()):
                with one_file():
                    raise InputError("a row holds a zero byte, which no name of a file has", where=f"{where}:{number}")
                continue
            yield f"{where}:{number}", row
    except csv.Error as error:
        raise InputError("not a table", where=f"{where}:{reader.line_num}", got=error) from error


def size_of_image(text: str) -> tuple[int, int]:
    """Width and height of recordings, as a user gives them."""
    size = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not size:
        raise UsageError("image size not understood", expected="WIDTHxHEIGHT, as 640x480", got=text)
    return int(size[1]), int(size[2])
