"""Keeping the one frame of a run that shows the surest prediction, as a picture for a page or a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import UsageError
from last_edge.files import writing

SUFFIXES = (".jpg", ".png")


class Snapshot:
    """Takes every drawn frame, keeps the surest and writes it at the end; `UsageError` for an unknown suffix."""

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError("cannot save a picture of this kind", where=path, expected=" or ".join(SUFFIXES))
        self._path = path
        self._best: tuple[float, NDArray[np.uint8]] | None = None

    def offer(self, image: NDArray[np.uint8], probability: float) -> None:
        """Consider one drawn (H, W, 3) frame; 0 stands for a frame without a prediction."""
        if self._best is None or probability > self._best[0]:
            self._best = probability, image

    def finish(self) -> None:
        """Write the kept frame; nothing when none came."""
        import cv2

        if self._best is not None:
            _, content = cv2.imencode(self._path.suffix.lower(), self._best[1])
            with writing(self._path) as stream:
                stream.write(content.tobytes())
