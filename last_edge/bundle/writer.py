"""Writing a bundle, as a folder or as one `.last` archive."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from last_edge.bundle.archive import SUFFIX, write_archive
from last_edge.bundle.manifest import MANIFEST, Manifest, to_bytes
from last_edge.files import check_free, writing_folder


def with_hashes(manifest: Manifest, files: dict[str, bytes]) -> Manifest:
    """The manifest with the sha256 of every file, and sealed."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return dataclasses.replace(manifest, files=hashes).sealed()


def write_bundle(path: Path, manifest: Manifest, *, files: dict[str, bytes], force: bool = False) -> Manifest:
    """Write `files` and their manifest to `path`: an archive when it ends in `.last`, else a folder.

    Nothing stands at `path` until it is whole. `UsageError` when something does already and not `force`.
    Returns the manifest as written, with hashes and seal.
    """
    whole = with_hashes(manifest, files)
    _write(path, {**files, MANIFEST: to_bytes(whole)}, force=force, extras=())
    return whole


def rewrite_bundle(path: Path, manifest: Manifest, *, files: dict[str, bytes]) -> Manifest:
    """Replace a bundle in one step, like `write_bundle`; files in its folder that are not the bundle's own stay."""
    whole = with_hashes(manifest, files)
    contents = {**files, MANIFEST: to_bytes(whole)}
    others = [item for item in path.iterdir() if item.name not in contents] if path.is_dir() else []
    _write(path, contents, force=True, extras=others)
    return whole


def _write(path: Path, contents: dict[str, bytes], *, force: bool, extras: Iterable[Path]) -> None:
    if path.suffix == SUFFIX:
        check_free(path, force=force)
        write_archive(path, contents)
        return
    with writing_folder(path, marker=MANIFEST, force=force) as folder:
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        for item in extras:
            (shutil.copytree if item.is_dir() else shutil.copy2)(item, folder / item.name)
