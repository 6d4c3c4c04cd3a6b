"""`store.json`: what a clip store holds, and the hashes that prove it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from last_edge import records
from last_edge.clips.index import ClipIndex
from last_edge.files import sha256_of
from last_edge.skeleton.clip import Units
from last_edge.skeleton.layout import Layout

HEADER = "store.json"
FRAMES = "frames.npy"
CONFIDENCE = "confidence.npy"
INDEX = "index.parquet"


@dataclass(frozen=True)
class StoredFile:
    """One file of the store: its size in bytes and sha256."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> StoredFile:
        """Measure a file."""
        return cls(path.stat().st_size, sha256_of(path))


@dataclass(frozen=True)
class StoreHeader:
    """The store's description.

    shape: (ΣT, M, V, C) of `frames.npy`. labels: class names, a clip's label is an index into them.
    content_sha256: identity of points, confidences, index, layout, units and labels, whatever `about` says.
    about: name and licence of the source, direction of the axes, options of the preparation.
    """

    layout: Layout
    units: Units
    labels: tuple[str, ...]
    clips: int
    shape: tuple[int, ...]
    files: dict[str, StoredFile]
    content_sha256: str
    about_sha256: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    schema_version: int = 1


def about_sha256(about: dict[str, Any]) -> str:
    """Identity of the description, so that a changed licence or axis is found too."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def content_sha256(
    files: dict[str, StoredFile], index: ClipIndex, *, layout: Layout, units: str, labels: tuple[str, ...]
) -> str:
    """Identity of a store's content. The index enters by its values: parquet bytes differ between writers."""
    digest = hashlib.sha256()
    parts = [files[FRAMES].sha256, files[CONFIDENCE].sha256, index.digest(), records.digest(layout), units]
    digest.update(json.dumps([*parts, list(labels)]).encode())
    return digest.hexdigest()
