"""Writing a bundle, as a folder or as one `.last` archive."""

from __future__ import annotations

import dataclasses
import hashlib
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
    contents = {**files, MANIFEST: to_bytes(whole)}
    if path.suffix == SUFFIX:
        check_free(path, force=force)
        write_archive(path, contents)
        return whole
    with writing_folder(path, force=force) as folder:
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    return whole
