"""Recognition of a stream, in one of two ways; both count in seconds, never in frames.

- sliding: a window over the last seconds, a prediction every stride, events by smoothing, patience and debounce. It
  needs no boundaries between gestures.
- segments: the body's motion is cut where it rests, and each motion is predicted once, as a whole.

A motion that the model was not taught is refused by its energy score, where the bundle says which is too low.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import UsageError
from last_edge.runtime.backends import Backend
from last_edge.runtime.recognise.adapt import Adapter
from last_edge.runtime.recognise.decoding import Decoder, DecodingOptions, Probabilities, Rejection
from last_edge.runtime.recognise.results import Event, Guess, Prediction
from last_edge.runtime.recognise.segmenter import MotionSegmenter, SegmentOptions
from last_edge.runtime.recognise.window import Points, SlidingWindow, Times, fit_times

TOP = 3
Decode = Literal["sliding", "segments"]


@dataclass(frozen=True)
class RecogniseOptions:
    """How a stream is cut into windows.

    decode: `sliding` or `segments`. reject: refuse what the bundle's energy threshold calls unknown.
    window_s: length of the sliding window in seconds. stride_s: seconds between predictions.
    gap_s: seconds without any point after which the window starts anew.
    least_s, least_seen: seconds and frames with points below which nothing is predicted.
    """

    decode: Decode = "sliding"
    reject: bool = True
    window_s: float = 2.5
    stride_s: float = 0.2
    gap_s: float = 0.5
    least_s: float = 0.3
    least_seen: int = 5
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    segments: SegmentOptions = field(default_factory=SegmentOptions)

    def __post_init__(self) -> None:
        if not 0 < self.least_s <= self.window_s or self.stride_s < 0 or self.gap_s < 0:
            raise UsageError("window options do not fit together", expected="0 < least_s <= window_s", got=self)


class Recogniser:
    """Turns points into predictions and events.

    backend: raw landmarks to logits. adapter: source points to the model's. labels: class names in logit order.
    rejection: temperature and least energy of the file that the backend runs.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        adapter: Adapter,
        labels: tuple[str, ...],
        options: RecogniseOptions,
        rejection: Rejection | None = None,
    ) -> None:
        self._adapter, self._labels, self._options = adapter, labels, options
        self.use(backend, rejection or Rejection())
        self._window = SlidingWindow(seconds=options.window_s, gap_s=options.gap_s)
        self._segmenter = MotionSegmenter(adapter.spec.layout, options.segments)
        self.decoder = Decoder(labels, options.decoding)
        self._next_s = -np.inf
        self.current: Prediction | None = None

    def use(self, backend: Backend, rejection: Rejection) -> None:
        """Go on with another file of the same bundle; may be called from another thread."""
        self._file = backend, rejection

    def push(self, points: Points, time_s: float) -> Event | None:
        """Take one frame's points (M, V, C) at `time_s`; the event it completes, if any. `current` is the newest
        prediction: smoothed over windows, or of the last motion; None while there is nothing to predict.
        """
        push = self._push_segment if self._options.decode == "segments" else self._push_window
        return push(points, time_s)

    def start_clip(self) -> None:
        """Forget the recording before."""
        self._window.clear()
        self._segmenter.clear()
        self.decoder.reset()
        self._next_s, self.current = -np.inf, None

    def predict(self, points: Points, times: Times) -> Prediction:
        """The smoothed-by-nothing prediction for a whole clip: (M, T', V, C) points at (T',) seconds."""
        began = time.perf_counter()
        probabilities, _ = self._answer(points, times)
        return self._as_prediction(probabilities, float(times[0]), float(times[-1]), began)

    def _push_window(self, points: Points, time_s: float) -> Event | None:
        self._window.push(points, time_s, seen=self._adapter.sees(points))
        if not self._shows_enough():
            self.current = None
            self.decoder.reset()
            return None
        if time_s < self._next_s:
            return None
        self._next_s = time_s + self._options.stride_s
        return self._predict_window(time_s)

    def _push_segment(self, points: Points, time_s: float) -> Event | None:
        motion = self._segmenter.push(points, self._adapter(points[:, None])[:, 0], time_s)
        if motion is None:
            return None
        began = time.perf_counter()
        probabilities, known = self._answer(*motion)
        start_s, end_s = float(motion[1][0]), float(motion[1][-1])
        self.current = self._as_prediction(probabilities, start_s, end_s, began)
        return self.decoder.decide(probabilities, start_s=start_s, end_s=time_s, known=known)

    def _shows_enough(self) -> bool:
        options, window = self._options, self._window
        return window.seen >= options.least_seen and window.seen_seconds >= options.least_s

    def _predict_window(self, time_s: float) -> Event | None:
        began = time.perf_counter()
        points, times = self._window.points()
        probabilities, known = self._answer(points, times)
        event = self.decoder.push(probabilities, start_s=float(times[0]), end_s=time_s, known=known)
        assert self.decoder.mean is not None
        self.current = self._as_prediction(self.decoder.mean, float(times[0]), time_s, began)
        return event

    def _answer(self, points: Points, times: Times) -> tuple[Probabilities, bool]:
        """The probability of each class, and whether the motion is one that the model was taught."""
        backend, rejection = self._file
        fitted = fit_times(self._adapter(points), times, self._adapter.spec.frames)
        logits: NDArray[np.float32] = backend(fitted[None] if self._adapter.spec.bodies > 1 else fitted)[0]
        return rejection.probabilities(logits), not self._options.reject or rejection.knows(logits)

    def _as_prediction(self, probabilities: Probabilities, start_s: float, end_s: float, began: float) -> Prediction:
        best = np.argsort(-probabilities, kind="stable")[:TOP]
        top = tuple(Guess(self._labels[index], float(probabilities[index])) for index in best)
        return Prediction(start_s, end_s, top, {"recognise": (time.perf_counter() - began) * 1000})
