"""Files of a dataset from a folder, a .zip or a .tar, one after the other; nothing is ever unpacked to disk."""

from __future__ import annotations

import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from last_edge.errors import InputError

LARGEST_MEMBER = 256 * 2**20
"""Bytes one member may unpack to; more is taken for a decompression bomb."""

ARCHIVE_NAME = re.compile(r"\.(zip|tar|tgz|txz|tar\.\w+)$")

Wanted = Callable[[str], bool]
Member = tuple[str, bytes]


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
    damage = (
        tarfile.TarError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
    )
    try:
        yield from found
    except (NotImplementedError, *damage) as error:
        raise InputError("not an archive, or a damaged one", where=source, got=error) from error
