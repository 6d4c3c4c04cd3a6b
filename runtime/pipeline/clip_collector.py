"""Predicting each recording of a source as a whole, beside the stream."""

from __future__ import annotations

import numpy as np

from last_edge.runtime.recognise.adapt import Adapter
from last_edge.runtime.recognise.recognise import Recogniser
from last_edge.runtime.recognise.results import ClipResult
from last_edge.runtime.recognise.window import Points
from last_edge.runtime.sources import Frame

LONGEST = 9000


class ClipCollector:
    """Keeps the points of the recording that plays; at its end gives the prediction for all of it.

    Recordings of more than 9,000 frames, and those that never show a point of use, are not predicted as a whole.
    predicted: recordings predicted; known: those with a true class; right: those of them predicted right.
    """

    def __init__(self, recogniser: Recogniser, adapter: Adapter) -> None:
        self._recogniser, self._adapter = recogniser, adapter
        self._first: Frame | None = None
        self._points: list[Points] = []
        self._times: list[float] = []
        self.predicted = self.known = self.right = 0

    def starts_another(self, frame: Frame) -> bool:
        """Whether a frame begins another recording than the one that plays."""
        return self._first is not None and frame.clip != "" and frame.clip != self._first.clip

    def take(self, frame: Frame, points: Points) -> None:
        """Add a frame's points (M, V, C) to its recording."""
        if not frame.clip:
            return
        if self._first is None:
            self._first = frame
        if len(self._points) <= LONGEST:
            self._points.append(points)
            self._times.append(frame.timestamp_s)

    def finish(self) -> list[ClipResult]:
        """Predict and forget the recording that has played; empty when there is none to predict."""
        first, points, times = self._first, self._points, self._times
        self._first, self._points, self._times = None, [], []
        if first is None or len(points) > LONGEST or not any(map(self._adapter.sees, points)):
            return []
        prediction = self._recogniser.predict(np.stack(points, axis=1), np.array(times))
        self.predicted += 1
        self.known += first.label is not None
        self.right += first.label == prediction.best.label
        return [ClipResult(first.clip, prediction, len(points), first.label)]
