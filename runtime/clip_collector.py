"""Predicting each recording of a source as a whole, beside the stream."""

from __future__ import annotations

import numpy as np

from last_edge.runtime.adapt import Adapter
from last_edge.runtime.event_log import EventLog
from last_edge.runtime.recognise import Recogniser
from last_edge.runtime.sources import Frame
from last_edge.runtime.window import Points

LONGEST = 9000


class ClipCollector:
    """Keeps the points of the recording that plays; at its end logs the prediction for all of it.

    Recordings of more than 9,000 frames, and those that never show a point of use, are not predicted as a whole.
    predicted: recordings predicted; known: those with a true class; right: those of them predicted right.
    """

    def __init__(self, recogniser: Recogniser, adapter: Adapter, log: EventLog) -> None:
        self._recogniser, self._adapter, self._log = recogniser, adapter, log
        self._first: Frame | None = None
        self._points: list[Points] = []
        self._times: list[float] = []
        self.predicted = self.known = self.right = 0

    def take(self, frame: Frame, points: Points) -> bool:
        """Add a frame's points (M, V, C); True when it begins another recording than the frame before."""
        if not frame.clip:
            return False
        changed = self._first is not None and frame.clip != self._first.clip
        if changed:
            self.finish()
        if self._first is None:
            self._first = frame
        if len(self._points) <= LONGEST:
            self._points.append(points)
            self._times.append(frame.timestamp_s)
        return changed

    def finish(self) -> None:
        """Predict and forget the recording that has played."""
        if self._first is not None and 0 < len(self._points) <= LONGEST:
            self._predict(self._first)
        self._first, self._points, self._times = None, [], []

    def _predict(self, first: Frame) -> None:
        if not any(map(self._adapter.sees, self._points)):
            return
        prediction = self._recogniser.predict(np.stack(self._points, axis=1), np.array(self._times))
        self.predicted += 1
        self.known += first.label is not None
        self.right += first.label == prediction.best.label
        self._log.clip(first.clip, prediction, frames=len(self._points), label=first.label)
