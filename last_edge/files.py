"""Writing files and folders so that a kill at any moment loses nothing; hashing them."""

import glob
import hashlib
import lzma
import os
import secrets
import shutil
import struct
import sys
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from last_edge.errors import InputError, UsageError

try:
    import fcntl
except ImportError:  # no such locks outside of POSIX
    fcntl = None  # type: ignore[assignment]

DAMAGED_ARCHIVE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError,
                   ValueError, OverflowError, RuntimeError)  # fmt: skip
"""What `zipfile` and `tarfile` raise on damaged archives; RuntimeError on encrypted and unknown kinds of members."""

YOUNG_S = 60.0
"""Seconds that a partial file is left alone, locked or not; one of the future comes of a clock that was set back."""


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def partials_of(path: Path) -> list[Path]:
    """What stands where somebody writes `path`, or was killed while writing it."""
    return [*path.parent.glob(f"{glob.escape(path.name)}.[0-9]*-*.partial")]


def fsync_path(path: Path) -> None:
    """Force a file's or folder's content to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Open a partial file beside `path` for writing; on success fsync and rename over `path`, on failure remove it.

    The partial file is this writer's own: of several at a time the last one to finish wins, with a whole file. Those of
    writers that are dead are removed.
    """
    check_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in partials_of(path):
        if not _is_held(left):
            left.unlink(missing_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        with partial.open("wb") as stream:
            _try_lock(stream.fileno(), wait=True)
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


def check_free(path: Path, *, force: bool, marker: str = "", option: str = "--out") -> None:
    """`UsageError` when writing to `path`, which `option` names, would cost somebody their work; `InputError` when we
    have no right to write there.

    A file is replaced only with `force`, a folder never. With `marker`, the file that every artefact of this kind
    holds, `path` is to be a folder: an empty one is free, one with the marker in it is replaced with `force`.
    """
    check_writable(path, option=option)
    if not path.exists():
        return
    if path.is_dir() != bool(marker):
        kind = "folder" if path.is_dir() else "file"
        raise UsageError(f"a {kind} is in the way", where=path, hint=f"another {option}")
    if marker and not any(path.iterdir()):
        return
    if not force:
        raise UsageError("will not overwrite", where=path, hint=f"another {option}, or --force to replace it")
    if marker and not (path / marker).exists():
        hint = f"another {option}"
        raise UsageError("will not replace a folder of another kind", where=path, expected=marker, hint=hint)


def check_writable(path: Path, *, option: str = "--out") -> None:
    """`InputError` where we have no right to make `path`, which `option` names; `UsageError` below a file."""
    folder = next(above for above in path.absolute().parents if above.exists())
    if not folder.is_dir():
        raise UsageError("a file is in the way", where=folder, hint=f"another {option}")
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise InputError("cannot write here", where=path, got=f"no right to write into {folder}",
                         hint=f"another {option}")  # fmt: skip


@contextmanager
def writing_folder(path: Path, *, marker: str, force: bool = False) -> Iterator[Path]:
    """Fill a hidden folder beside `path`; on success fsync every file and put it in the place of `path`.

    An older folder at `path` is kept until the new one is whole; where a kill came between taking it away and putting
    the new one in its place, it comes back here. Raises `UsageError` as `check_free` and `locked` do.
    """
    path = path.absolute()
    with locked(path):
        yield from _fill(path, marker=marker, force=force)


def _fill(path: Path, *, marker: str, force: bool) -> Iterator[Path]:
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
    """Put a folder back that a killed replacement had set aside; one that goes on is waited for."""
    path = path.absolute()
    old = _beside(path, "old")
    if path.exists() or not old.is_dir():
        return
    with locked(path, wait=True):
        if not path.exists() and old.is_dir():
            old.replace(path)


_held: dict[tuple[int, int, Path], int] = {}
"""How often each thread of this process holds each output."""


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Be the only one who writes the file or folder `path`; a thread may ask again for what it holds.

    The lock is the kernel's, on a hidden file beside `path`, so that a process that dies lets go of it. `UsageError`
    says who holds it, unless `wait`.
    """
    path = path.absolute()
    key = (os.getpid(), threading.get_ident(), path)
    if _held.get(key):
        yield
        return
    check_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _beside(path, "lock")
    handle = _take(lock, path, wait=wait)
    _held[key] = 1
    try:
        yield
    finally:
        del _held[key]
        lock.unlink(missing_ok=True)  # before the lock is let go, so that nobody locks a file which is about to go
        os.close(handle)


def _take(lock: Path, path: Path, *, wait: bool) -> int:
    """An open handle of the lock file, which says who we are; `UsageError` where another process has it."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        if not _try_lock(handle, wait=wait):
            holder = os.read(handle, 1000).decode(errors="replace").strip() or "another process"
            os.close(handle)
            hint = "wait until it is done, or another --out"
            raise UsageError("another process writes here", where=path, got=f"held by {holder}", hint=hint)
        try:
            if os.path.samestat(os.fstat(handle), lock.stat()):
                break
        except FileNotFoundError:
            pass
        os.close(handle)  # its holder has just removed it
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()}: {' '.join(sys.argv)}"[:500].encode(errors="replace"))
    return handle


def _try_lock(handle: int, *, wait: bool = False) -> bool:
    """Whether the lock on an open file is ours now; True where the file system knows none."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_held(path: Path) -> bool:
    """Whether a process that lives is writing this file, or has begun to within the last minute."""
    try:
        if abs(time.time() - path.stat().st_mtime) < YOUNG_S:
            return True
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_lock(handle)
    finally:
        os.close(handle)


def _beside(path: Path, purpose: str) -> Path:
    return path.with_name(f".{path.name}.{purpose}")


def cache_folder() -> Path:
    """$LAST_EDGE_CACHE, else ~/.cache/last-edge."""
    given = os.environ.get("LAST_EDGE_CACHE", "")
    return Path(given) if given else Path.home() / ".cache" / "last-edge"
