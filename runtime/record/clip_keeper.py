"""The last seconds of points, saved on request as a recording that `last-edge data prepare npz` reads."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np

from last_edge.files import writing
from last_edge.runtime.recognise.window import Points

KEPT_S = 4.0


class ClipKeeper:
    """units: of the points. folder: where clips go; the first is `clip-001.npz`, and none is replaced."""

    def __init__(self, folder: Path, *, units: str) -> None:
        self._folder, self._units = folder, units
        self._frames: deque[tuple[float, Points]] = deque()

    def take(self, points: Points, time_s: float) -> None:
        """Add a frame's points (M, V, C); those of more than four seconds ago are forgotten."""
        self._frames.append((time_s, points))
        while time_s - self._frames[0][0] > KEPT_S:
            self._frames.popleft()

    def save(self) -> str:
        """Write what is kept, unlabelled, at its mean frame rate; says where, or why not."""
        if len(self._frames) < 2:
            return "nothing to save yet"
        seconds = self._frames[-1][0] - self._frames[0][0]
        path = free_name(self._folder, "clip", ".npz")
        with writing(path) as stream:
            np.savez(
                stream,
                frames=np.stack([points for _, points in self._frames]),
                lengths=np.array([len(self._frames)]),
                fps=np.array((len(self._frames) - 1) / seconds),
                units=np.array(self._units),
            )
        return f"saved {path.name}, {seconds:.1f} s"


def free_name(folder: Path, stem: str, suffix: str) -> Path:
    """The first of `stem-001`, `stem-002`, … that is not there."""
    number = 1
    while (path := folder / f"{stem}-{number:03d}{suffix}").exists():
        number += 1
    return path
