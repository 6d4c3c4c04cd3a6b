"""Where a translator's clips come from: a clip store or a `.pose` file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.pose_file import read_pose
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points, sentence_points
from last_edge.errors import InputError, UsageError
from last_edge.inputs import InputSpec
from last_edge.inputs.transforms import seen_span
from last_edge.names import nearest
from last_edge.skeleton.clip import Units

Named = tuple[str, NDArray[np.float32]]
STORE = "store:"


def clips_of(
    source: str, spec: InputSpec, *, units: Units, split: str | None = None, limit: int | None = None
) -> Iterator[Named]:
    """Names and points (T, V, C) of a source's clips, from the first frame that shows anything.

    source: `FILE.pose`, `store:FOLDER` or `store:FOLDER#CLIP`, CLIP a source id, or `#NUMBER` where there is none.
    split: of a store.
    Raises `UsageError`, and `InputError` for what is absent or of another layout, number of axes or unit.
    """
    if source.startswith(STORE):
        return islice(_of_store(source.removeprefix(STORE), spec, units, split), limit)
    if Path(source).suffix != ".pose":
        raise UsageError("no such source", expected="FILE.pose, store:FOLDER or store:FOLDER#CLIP", got=source)
    if split is not None:
        raise UsageError("--split is for a store", got=source)
    return iter([_of_pose(Path(source), spec, units)])


def _of_store(place: str, spec: InputSpec, units: Units, split: str | None) -> Iterator[Named]:
    folder, _, wanted = place.partition("#")
    store = ClipStore.open(Path(folder))
    check_points(store, spec)
    _check_units(store.units, units, folder)
    named = [(_name(store, int(clip)), int(clip)) for clip in store.select(split=split)]
    if not named:
        splits = ", ".join(sorted(set(store.index.split.tolist())))
        raise InputError("no clips of this split in the store", where=folder, expected=splits, got=split)
    chosen = [(name, clip) for name, clip in named if wanted in ("", name)]
    if not chosen:
        near = nearest(wanted, [name for name, _ in named])
        expected = " or ".join(near) or "a source id, or # and a number"
        raise InputError("no such clip in the store", where=folder, expected=expected, got=wanted)
    return ((name, sentence_points(store, clip, spec.frames)) for name, clip in chosen)


def _name(store: ClipStore, clip: int) -> str:
    """A clip's source id, else its number in the store."""
    return str(store.index.source_id[clip]) or f"#{clip}"


def _of_pose(path: Path, spec: InputSpec, units: Units) -> Named:
    clip = read_pose(path, layout=spec.layout)
    _check_units(clip.units, units, path)
    if clip.coords.shape[-1] < spec.channels:
        raise InputError("file has too few axes", where=path, expected=spec.channels, got=clip.coords.shape[-1])
    first, last = seen_span(clip.coords[:1])
    return path.name, clip.coords[0, first : last + 1, :, : spec.channels]


def _check_units(got: Units, expected: Units, where: object) -> None:
    if got != expected:
        raise InputError("points in other units than the translator's", where=where, expected=expected, got=got)
