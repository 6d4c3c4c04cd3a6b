"""The `.last` archive: a plain zip, written with equal bytes for equal content and read without trusting it."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path, PurePosixPath

from last_edge.arrays import EPOCH
from last_edge.errors import InputError
from last_edge.files import DAMAGED_ARCHIVE, writing

SUFFIX = ".last"
MOST_MEMBERS = 64
LARGEST_TOTAL = 512 * 2**20


def safe_name(name: str) -> str | None:
    """Why a member name must not be used, or None when it is a plain relative path."""
    path = PurePosixPath(name)
    if not name or "\\" in name or "\0" in name or ":" in name:
        return "not a plain name"
    if path.is_absolute():
        return "an absolute path"
    if ".." in name.split("/"):
        return "a path that leaves the archive"
    return None if str(path) == name else "not a plain name"


def read_archive(path: Path) -> dict[str, bytes]:
    """All members by name; `InputError` for names that leave the archive, links, duplicates or absurd sizes."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked(archive, path)
            return {member.filename: _content(archive, member, path) for member in members}
    except DAMAGED_ARCHIVE as error:
        raise InputError("not a bundle archive", where=path, expected="a zip written by export", got=error) from error


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    """Write members uncompressed, sorted and with a fixed date, through a partial file."""
    with writing(path) as stream:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(files):
                archive.writestr(zipfile.ZipInfo(name, EPOCH), files[name])
        stream.write(buffer.getvalue())


def _checked(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise InputError("archive has too many members", where=path, expected=f"<= {MOST_MEMBERS}", got=len(members))
    total = sum(member.file_size for member in members)
    if total > LARGEST_TOTAL:
        raise InputError("archive is too large", where=path, expected=f"<= {LARGEST_TOTAL} bytes", got=total)
    seen: set[str] = set()
    for member in members:
        fault = _fault(member, seen)
        if fault is not None:
            raise InputError(f"archive member refused: {fault}", where=f"{path} › {member.filename}")
        seen.add(member.filename)
    return members


def _fault(member: zipfile.ZipInfo, seen: set[str]) -> str | None:
    fault = safe_name(member.orig_filename) or safe_name(member.filename)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        fault = "a link" if kind == stat.S_IFLNK else "not a plain file"
    if member.flag_bits & 0x1:
        fault = "encrypted"
    return fault or ("the same name twice" if member.filename in seen else None)


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> bytes:
    """A member's bytes; never more than it declares."""
    with archive.open(member) as stream:
        content = stream.read(member.file_size + 1)
    if len(content) != member.file_size:
        raise InputError("archive member has another size than declared", where=f"{path} › {member.filename}")
    return content
