"""Writing files and folders so that a kill at any moment loses nothing; hashing them."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from last_edge.errors import UsageError

DAMAGED_ARCHIVE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError,
                   ValueError, OverflowError, RuntimeError)  # fmt: skip
"""What `zipfile` and `tarfile` raise on damaged archives; RuntimeError on encrypted and unknown kinds of members."""


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def partial_name(path: Path) -> Path:
    """Where `path` is written before it is whole."""
    return path.with_name(path.name + ".partial")


def fsync_path(path: Path) -> None:
    """Force a file's or folder's content to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def writing(path: Path, mode: str = "wb") -> Iterator[IO[bytes]]:
    """Open `path`.partial for writing; on success fsync and rename over `path`, on failure remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_name(path)
    try:
        with partial.open(mode) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    fsync_path(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text through a partial file."""
    with writing(path) as stream:
        stream.write(text.encode())


def check_free(path: Path, *, force: bool, marker: str = "") -> None:
    """`UsageError` when writing to `path` would cost somebody their work.

    A file is replaced only with `force`, a folder never. With `marker`, the file that every artefact of this kind
    holds, `path` is to be a folder: an empty one is free, one with the marker in it is replaced with `force`.
    """
    if not path.exists():
        return
    if path.is_dir() != bool(marker):
        raise UsageError(f"a {'folder' if path.is_dir() else 'file'} is in the way", where=path, hint="another --out")
    if marker and not any(path.iterdir()):
        return
    if not force:
        raise UsageError("will not overwrite", where=path, hint="another --out, or --force to replace it")
    if marker and not (path / marker).exists():
        raise UsageError("will not replace a folder of another kind", where=path, expected=marker, hint="another --out")


@contextmanager
def writing_folder(path: Path, *, marker: str, force: bool = False) -> Iterator[Path]:
    """Fill a hidden folder beside `path`; on success fsync every file and put it in the place of `path`.

    An older folder at `path` is kept until the new one is whole; where a kill came between taking it away and putting
    the new one in its place, it comes back here. Raises `UsageError` as `check_free` does.
    """
    path = path.absolute()
    recover(path)
    check_free(path, force=force, marker=marker)
    partial = _beside(path, "partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for file in sorted(partial.rglob("*")):
        fsync_path(file)
    fsync_path(partial)
    old = _beside(path, "old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.replace(old)
    partial.replace(path)
    fsync_path(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover(path: Path) -> None:
    """Put a folder back that a killed replacement had set aside."""
    old = _beside(path.absolute(), "old")
    if not path.exists() and old.is_dir():
        old.replace(path)


def _beside(path: Path, purpose: str) -> Path:
    return path.with_name(f".{path.name}.{purpose}")
