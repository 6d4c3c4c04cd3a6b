"""Recognition of a stream: a sliding window over time, a prediction every stride, events by decoding."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import UsageError
from last_edge.runtime.adapt import Adapter
from last_edge.runtime.backends import Backend
from last_edge.runtime.decoding import Decoder, DecodingOptions, Probabilities
from last_edge.runtime.results import Event, Guess, Prediction
from last_edge.runtime.window import Points, SlidingWindow, Times, fit_times

TOP = 3


@dataclass(frozen=True)
class RecogniseOptions:
    """How a stream is cut into windows.

    window_s: length of the sliding window in seconds. stride_s: seconds between predictions.
    gap_s: seconds without any point after which the window starts anew.
    least_s, least_seen: seconds and frames with points below which nothing is predicted.
    """

    window_s: float = 2.5
    stride_s: float = 0.2
    gap_s: float = 0.5
    least_s: float = 0.3
    least_seen: int = 5
    decoding: DecodingOptions = field(default_factory=DecodingOptions)

    def __post_init__(self) -> None:
        if not 0 < self.least_s <= self.window_s or self.stride_s < 0 or self.gap_s < 0:
            raise UsageError("window options do not fit together", expected="0 < least_s <= window_s", got=self)


class Recogniser:
    """Turns points into predictions and events.

    backend: raw landmarks to logits. adapter: source points to the model's. labels: class names in logit order.
    """

    def __init__(
        self, backend: Backend, *, adapter: Adapter, labels: tuple[str, ...], options: RecogniseOptions
    ) -> None:
        self._backend, self._adapter, self._labels, self._options = backend, adapter, labels, options
        self._window = SlidingWindow(seconds=options.window_s, gap_s=options.gap_s)
        self._decoder = Decoder(labels, options.decoding)
        self._next_s = -np.inf
        self.current: Prediction | None = None

    def push(self, points: Points, time_s: float) -> Event | None:
        """Take one frame's points (M, V, C) at `time_s`; the event it completes, if any. `current` is the newest
        smoothed prediction, None while too little is seen.
        """
        self._window.push(points, time_s, seen=self._adapter.sees(points))
        if not self._shows_enough():
            self.current = None
            self._decoder.reset()
            return None
        if time_s < self._next_s:
            return None
        self._next_s = time_s + self._options.stride_s
        return self._predict_window(time_s)

    def start_clip(self) -> None:
        """Forget the recording before."""
        self._window.clear()
        self._decoder.reset()
        self._next_s, self.current = -np.inf, None

    def predict(self, points: Points, times: Times) -> Prediction:
        """The smoothed-by-nothing prediction for a whole clip: (M, T', V, C) points at (T',) seconds."""
        began = time.perf_counter()
        probabilities = self._probabilities(points, times)
        return self._as_prediction(probabilities, float(times[0]), float(times[-1]), began)

    def _shows_enough(self) -> bool:
        options, window = self._options, self._window
        return window.seen >= options.least_seen and window.seen_seconds >= options.least_s

    def _predict_window(self, time_s: float) -> Event | None:
        began = time.perf_counter()
        points, times = self._window.points()
        event = self._decoder.push(self._probabilities(points, times), start_s=float(times[0]), end_s=time_s)
        assert self._decoder.mean is not None
        self.current = self._as_prediction(self._decoder.mean, float(times[0]), time_s, began)
        return event

    def _probabilities(self, points: Points, times: Times) -> Probabilities:
        fitted = fit_times(self._adapter(points), times, self._adapter.spec.frames)
        batch = fitted[None] if self._adapter.spec.bodies > 1 else fitted
        return softmax(self._backend(batch)[0])

    def _as_prediction(self, probabilities: Probabilities, start_s: float, end_s: float, began: float) -> Prediction:
        best = np.argsort(-probabilities, kind="stable")[:TOP]
        top = tuple(Guess(self._labels[index], float(probabilities[index])) for index in best)
        return Prediction(start_s, end_s, top, {"recognise": (time.perf_counter() - began) * 1000})


def softmax(logits: NDArray[np.float32]) -> Probabilities:
    """(K,) logits to probabilities that sum to 1."""
    exponents = np.exp(logits.astype(np.float64) - float(logits.max()))
    return np.asarray(exponents / exponents.sum(), np.float64)
