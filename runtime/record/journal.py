"""Takes on disk until their session ends: each is whole before the next begins, so that a crash loses none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from last_edge import records
from last_edge.damage import DAMAGE
from last_edge.errors import InputError
from last_edge.files import writing
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
        clip = _read(files[-1])
        files[-1].unlink()
        return clip.source_id

    def clips(self) -> list[SkeletonClip]:
        """Every take, in order."""
        return [_read(file) for file in self._files()]

    def clear(self) -> None:
        """Forget every take: they are in the store."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.npz"))


def _read(path: Path) -> SkeletonClip:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about: dict[str, Any] = json.loads(str(arrays["about"]))
            layout = records.from_dict(Layout, about.pop("layout"), where=path)
            coords, confidence, fps = arrays["coords"], arrays["confidence"], float(arrays["fps"])
        return SkeletonClip(coords, confidence, layout, fps, **about)
    except DAMAGE as error:
        raise InputError("a take is damaged", where=path, got=error, hint=f"rm {path}") from error
