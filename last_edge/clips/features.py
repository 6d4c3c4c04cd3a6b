"""Features beside a clip store: STORE/features/NAME, rows of numbers for the frames of every clip, memory-mapped."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.arrays import GrowingArray, map_npy
from last_edge.clips.store import FRAMES, ClipStore, StoredFile, check_hashes
from last_edge.errors import InputError
from last_edge.files import recover, writing_folder
from last_edge.inputs.features import FeatureInput, Features, feature_window

FOLDER = "features"
HEADER = "features.json"
ROWS = "rows.npy"
LENGTHS = "lengths.npy"


@dataclass(frozen=True)
class FeatureHeader:
    """width: numbers a row. rows: of all clips. frames_sha256: of the store's points, which the rows belong to."""

    width: int
    clips: int
    rows: int
    frames_sha256: str
    files: dict[str, StoredFile]
    about: dict[str, Any] = field(default_factory=dict)
    schema_version: int = 1


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    """rows: (ΣF, D) float32 on disk. lengths: (N,) rows of each clip, 0 for a clip without. See `open_features`."""

    path: Path
    header: FeatureHeader
    rows: NDArray[np.float32]
    lengths: NDArray[np.int64]
    ends: NDArray[np.int64]

    @property
    def width(self) -> int:
        """D, numbers a row."""
        return self.header.width

    def of(self, clip: int) -> Features:
        """(F, D) rows of one clip."""
        end = int(self.ends[clip])
        return self.rows[end - int(self.lengths[clip]) : end]

    def windows(self, clips: Iterable[int], frames: int) -> Features:
        """(n, frames, D) windows of some clips, NaN for those without features."""
        return np.stack([feature_window(self.of(int(clip)), frames) for clip in clips])

    def verify(self) -> None:
        """Hash both files; `InputError` names the one that has changed."""
        check_hashes(self.path, self.header.files, of="features")


def write_features(
    store: ClipStore, name: str, arrays: Iterable[NDArray[Any]], *, about: dict[str, Any]
) -> ClipFeatures:
    """Put features beside a store: one array (F, D) for each clip in the store's order, (0, D) where there are none.

    `InputError` when their widths differ, a number is not finite, or their count is not the clips'.
    """
    path, width = store.path / FOLDER / name, 0
    lengths: list[int] = []
    with writing_folder(path, marker=HEADER) as folder:
        rows = GrowingArray(folder / ROWS, np.float32)
        for array in arrays:
            width = _checked(array, width, f"{name}, clip {len(lengths)}")
            rows.append(array)
            lengths.append(len(array))
        rows.close()
        if len(lengths) != len(store) or not rows.length:
            raise InputError("features do not fit the clips", where=path, expected=len(store), got=len(lengths))
        np.save(folder / LENGTHS, np.array(lengths, np.int64))
        files = {file: StoredFile.of(folder / file) for file in (ROWS, LENGTHS)}
        points = store.header.files[FRAMES].sha256
        records.save(FeatureHeader(width, len(lengths), rows.length, points, files, about), folder / HEADER)
    return open_features(store, name)


def open_features(store: ClipStore, name: str) -> ClipFeatures:
    """The features called `name` beside a store; `InputError` when there are none, or they belong to other clips."""
    path = store.path / FOLDER / name
    recover(path)
    if not (path / HEADER).is_file():
        there, hint = feature_names(store), "last-edge data extract VIDEOS --out OUT --vision MODEL"
        raise InputError(f"the store has no features {name!r}", where=store.path, got=there or None, hint=hint)
    header = records.load(FeatureHeader, path / HEADER)
    if (header.frames_sha256, header.clips) != (store.header.files[FRAMES].sha256, len(store)):
        raise InputError("features of other clips", where=path, expected=store.sha256[:12])
    rows = map_npy(path / ROWS, np.float32, of="features", shape=(header.rows, header.width))
    lengths = map_npy(path / LENGTHS, np.int64, of="features", shape=(header.clips,))
    if lengths.sum() != header.rows:
        raise InputError("features: damaged arrays", where=path, expected=header.rows, got=int(lengths.sum()))
    return ClipFeatures(path, header, rows, lengths, np.cumsum(lengths))


def feature_names(store: ClipStore) -> list[str]:
    """Names of the features beside a store."""
    return sorted(path.parent.name for path in (store.path / FOLDER).glob(f"*/{HEADER}"))


def features_for(store: ClipStore, wanted: FeatureInput) -> ClipFeatures:
    """A store's features for a model; `InputError` when they are of another width than the model's."""
    found = open_features(store, wanted.name)
    if found.width != wanted.width:
        hint = "features of the vision model that the recogniser was trained with"
        raise InputError("features of another width", where=found.path, expected=wanted.width, got=found.width,
                         hint=hint)  # fmt: skip
    return found


def _checked(array: NDArray[Any], width: int, where: str) -> int:
    if array.ndim != 2 or (width and array.shape[1] != width) or not array.shape[1]:
        raise InputError("features of another shape", where=where, expected=("F", width or "D"), got=array.shape)
    if not np.isfinite(array).all():
        raise InputError("NaN or infinite feature", where=where)
    return int(array.shape[1])
