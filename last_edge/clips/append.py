"""Adding clips to a store: a new one is written beside the old, which is whole until the new one is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from last_edge.clips.header import HEADER
from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.errors import InputError
from last_edge.files import recover
from last_edge.skeleton.clip import SkeletonClip


def append_clips(
    path: Path, clips: Sequence[SkeletonClip], *, about: dict[str, Any] | None = None, drop: Collection[int] = ()
) -> ClipStore:
    """The store at `path`, made anew with some clips more and without those of the numbers in `drop`.

    Known labels keep their order, new ones follow it. about: of a store that is not there yet; an older one keeps its
    own. Raises `InputError` when a clip does not fit or nothing would be left.
    """
    recover(path)
    old = ClipStore.open(path) if (path / HEADER).is_file() else None
    first = clips[0] if clips else None
    if old is None and first is None:
        raise InputError("no clips to store", where=path)
    known = old.labels if old is not None else ()
    new = sorted({clip.label for clip in clips if clip.label is not None} - set(known))
    with writing_store(
        path,
        layout=old.layout if old is not None else first.layout,  # type: ignore[union-attr]
        units=old.units if old is not None else first.units,  # type: ignore[union-attr]
        labels=(*known, *new),
        about=old.about if old is not None else about,
        force=True,
    ) as writer:
        for number in range(0 if old is None else len(old)):
            if number not in drop:
                writer.add(old.clip(number))  # type: ignore[union-attr]
        for clip in clips:
            writer.add(clip)
    return ClipStore.open(path)
