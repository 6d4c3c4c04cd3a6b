"""Clips of a clip store, one after the other or a single one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from last_edge.clips import ClipStore
from last_edge.errors import InputError
from last_edge.runtime.sources.base import Frame, Source


class StoreSource(Source):
    """`FOLDER` plays every clip, `FOLDER#7` the clip of that number; time runs on, one second between two clips."""

    pause_s = 1.0

    def __init__(self, text: str) -> None:
        folder, _, number = text.partition("#")
        self._store = ClipStore.open(Path(folder))
        self._clips = self._chosen(number)
        self.name, self.layout, self.units = f"store:{text}", self._store.layout, self._store.units
        self.fps = float(self._store.index.fps[self._clips[0]]) or self._store.fps
        self.announced_frames = int(self._store.index.length[self._clips].sum())

    def __iter__(self) -> Iterator[Frame]:
        index, began = 0, 0.0
        for number in self._clips:
            clip = self._store.clip(int(number))
            name = clip.source_id or str(number)
            for row in range(clip.frames):
                yield Frame(index, began + row / clip.fps, points=clip.coords[:, row], clip=name, label=clip.label)
                index += 1
            began += clip.frames / clip.fps + self.pause_s

    def _chosen(self, number: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        count = len(self._store)
        if not number:
            return np.arange(count, dtype=np.int64)
        if not number.isdecimal() or int(number) >= count:
            raise InputError("no such clip", where=self._store.path, expected=f"0 to {count - 1}", got=number)
        return np.array([int(number)], np.int64)
