"""Writing files and folders so that a kill at any moment loses nothing; hashing them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from last_edge.errors import UsageError


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


def check_free(path: Path, *, force: bool) -> None:
    """`UsageError` when `path` holds something and `force` is off."""
    if path.exists() and not force and not (path.is_dir() and not any(path.iterdir())):
        raise UsageError("will not overwrite", where=path, hint="another --out, or --force to replace it")


@contextmanager
def writing_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Fill `path`.partial; on success fsync every file and put it in the place of `path`.

    An older folder at `path` is kept until the new one is whole. Raises `UsageError` when it exists and not `force`.
    """
    check_free(path, force=force)
    partial = partial_name(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for file in sorted(partial.rglob("*")):
        fsync_path(file)
    _replace_folder(partial, path)


def _replace_folder(partial: Path, path: Path) -> None:
    old = path.with_name(path.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.replace(old)
    partial.replace(path)
    fsync_path(path.parent)
    shutil.rmtree(old, ignore_errors=True)
