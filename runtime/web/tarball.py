"""Reading an npm archive without trusting it: nothing is unpacked, only the members asked for are read into memory."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Set as AbstractSet

from last_edge.bundle.archive import safe_name
from last_edge.damage import DAMAGE
from last_edge.errors import InputError

MOST_MEMBERS = 10_000
LARGEST_TOTAL = 512 * 2**20


def read_members(content: bytes, wanted: AbstractSet[str], *, where: object) -> dict[str, bytes]:
    """The wanted members of a gzipped tar, by name.

    `InputError` when any member has a path that leaves the archive, is a link or a device, or stands there twice, when
    all of them are too large together, or when a wanted one is absent.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            found = {
                member.name: _content(archive, member)
                for member in _checked(archive, where)
                if member.isfile() and member.name in wanted
            }
    except (*DAMAGE, tarfile.TarError) as error:
        raise InputError("not a package archive", where=where, expected="a gzipped tar", got=error) from error
    if absent := sorted(wanted - set(found)):
        raise InputError("the package lacks a file", where=where, expected=", ".join(absent))
    return found


def _checked(archive: tarfile.TarFile, where: object) -> list[tarfile.TarInfo]:
    """Every member, read one by one so that a bomb is noticed before it is unpacked."""
    members: list[tarfile.TarInfo] = []
    names: set[str] = set()
    total = 0
    for member in archive:
        fault = _fault(member, names)
        total += member.size
        if fault is None and (len(members) >= MOST_MEMBERS or total > LARGEST_TOTAL):
            fault = "the archive is too large"
        if fault is not None:
            raise InputError(f"archive member refused: {fault}", where=f"{where} › {member.name}")
        names.add(member.name)
        members.append(member)
    return members


def _fault(member: tarfile.TarInfo, names: set[str]) -> str | None:
    if not (member.isfile() or member.isdir()):
        return "a link" if member.issym() or member.islnk() else "not a plain file"
    return safe_name(member.name) or ("the same name twice" if member.name in names else None)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None
    return stream.read()
