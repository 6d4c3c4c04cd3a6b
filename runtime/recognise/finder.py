"""Landmarks of a frame, and what becomes of a detector that fails."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from last_edge.errors import MissingError
from last_edge.runtime.landmarks.mediapipe import LandmarkSource
from last_edge.runtime.recognise.window import Points
from last_edge.runtime.sources import Frame

MOST_FAILURES = 10


class Finder:
    """Frames on which the detector fails have no points and are told of; `MissingError` at the tenth in a row."""

    def __init__(self, detector: LandmarkSource, notice: Callable[[str], None]) -> None:
        self._detector, self._notice, self._failures = detector, notice, 0

    def __call__(self, frame: Frame) -> Points:
        """(1, V, C) points found in a frame's image."""
        assert frame.image is not None
        try:
            points = self._detector(frame.image, frame.timestamp_s)[None]
        except (RuntimeError, ValueError) as error:
            return self._missing(frame, error)
        self._failures = 0
        return points

    def _missing(self, frame: Frame, error: Exception) -> Points:
        self._failures += 1
        self._notice(f"no landmarks of frame {frame.index}: {error}")
        if self._failures >= MOST_FAILURES:
            raise MissingError("the landmark detector fails on every frame", where=self._detector.model, got=error,
                               hint="last-edge doctor") from error  # fmt: skip
        return np.full((1, self._detector.layout.joints, 3), np.nan, np.float32)
