"""Takes on disk until their session ends: each is whole before the next begins, so that a crash loses none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from last_edge import records
from last_edge.arrays import read_npz
from last_edge.clips import ClipStore
from last_edge.clips.store import HEADER
from last_edge.clips.writer import append_clips
from last_edge.errors import InputError
from last_edge.files import locked, recover, writing
from last_edge.runtime.record.target import AXES
from last_edge.skeleton import Layout, SkeletonClip

ABOUT = ("label", "subject", "source_id", "split", "camera", "setup", "units")


class Journal:
    """A hidden folder beside a store, with a file a take; `InputError` names one that is damaged."""

    def __init__(self, store: Path) -> None:
        self.folder = store.absolute().with_name(f".{store.name}.takes")

    def __len__(self) -> int:
        return len(self._files())

    def add(self, clip: SkeletonClip) -> None:
        """Keep a take."""
        number = 1 + max((int(file.stem) for file in self._files()), default=0)
        about = {name: getattr(clip, name) for name in ABOUT} | {"layout": records.to_dict(clip.layout)}
        with writing(self.folder / f"{number:06d}.npz") as stream:
            np.savez(stream, coords=clip.coords, confidence=clip.confidence, fps=clip.fps, about=json.dumps(about))

    def drop_last(self) -> str | None:
        """Forget the newest take; its source id, None where there is none."""
        if not (files := self._files()):
            return None
        clip = read_take(files[-1])
        files[-1].unlink()
        return clip.source_id

    def clips(self) -> list[SkeletonClip]:
        """Every take, in order."""
        return [read_take(file) for file in self._files()]

    def clear(self) -> None:
        """Forget every take: they are in the store."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.npz"))


def read_take(path: Path) -> SkeletonClip:
    """A take's file; `InputError` when it is damaged."""
    what, hint = "a take is damaged", f"rm {path}"
    arrays = read_npz(path, where=path, what=what, hint=hint)
    try:
        about: dict[str, Any] = json.loads(str(arrays["about"]))
        layout = records.from_dict(Layout, about.pop("layout"), where=path)
        return SkeletonClip(arrays["coords"], arrays["confidence"], layout, float(arrays["fps"]), **about)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(what, where=path, got=error, hint=hint) from error


def about(units: str) -> dict[str, str]:
    """What a store of recorded clips says of itself."""
    return {"dataset": "recorded", "title": "recorded with last-edge record", "licence": "of who recorded it",
            "source": "last-edge record", "axes": AXES[units]}  # fmt: skip


def rescue(store: Path, *, on_notice: Callable[[str], None] = lambda text: None) -> ClipStore | None:
    """The store with the takes of a session that was cut off, if there are any; None where there is no store.

    Raises `InputError` when one of them is damaged, `UsageError` when that session still goes on.
    """
    recover(store)
    if not len(Journal(store)):
        return ClipStore.open(store) if (store / HEADER).is_file() else None
    with locked(store):
        journal = Journal(store)
        opened = ClipStore.open(store) if (store / HEADER).is_file() else None
        if not len(journal):
            return opened
        known = set() if opened is None else set(opened.index.source_id.tolist())
        if clips := [clip for clip in journal.clips() if clip.source_id not in known]:
            opened = append_clips(store, clips, about=about(clips[0].units))
            on_notice(f"{len(clips)} takes of a session that was cut off are in the store now")
        journal.clear()
        return opened
