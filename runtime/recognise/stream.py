"""Recognition of a stream by a model that takes clips, in one of three ways; all count in seconds, never in frames.

- sliding: a window over the last seconds, a prediction every stride, events by smoothing, patience and debounce. It
  needs no boundaries between gestures.
- spans: the same windows, decided as a network for streams is: one event from when a gesture begins to be shown until
  it no longer is.
- segments: the body's motion is cut where it rests, and each motion is predicted once, as a whole.

A motion that the model was not taught is refused by its energy score, where the bundle says which is too low.
"""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError, UsageError
from last_edge.logits import energy
from last_edge.names import mirrored_order
from last_edge.runtime.backends import Backend
from last_edge.runtime.closing import Closeable
from last_edge.runtime.recognise.adapt import Adapter, HandVote
from last_edge.runtime.recognise.decoding import (
    UNLIKE,
    Decoder,
    DecodingOptions,
    Event,
    Guess,
    Prediction,
    Probabilities,
    Rejection,
)
from last_edge.runtime.recognise.spans import SpanwiseDecoder
from last_edge.runtime.recognise.window import MotionSegmenter, Points, SegmentOptions, SlidingWindow, Times, fit_times
from last_edge.skeleton.people import Follower, Seen

TOP = 3
HOLD_S = 0.5
"""Seconds between two events of a gesture that lasts, where its phases are told."""
Decode = Literal["sliding", "segments", "spans"]
DECODERS = {"sliding": Decoder, "segments": Decoder, "spans": SpanwiseDecoder}


@dataclass(frozen=True)
class RecogniseOptions:
    """How a stream is cut into windows.

    decode: `sliding`, `segments` or `spans`, a sliding window whose answers are decided by `SpanwiseDecoder`.
    reject: refuse what the bundle's energy threshold calls unknown. early: a bundle that answers at every frame tells a
    gesture as soon as its label is sure, not when it ends. phases: of each gesture the beginning, every `HOLD_S` that
    it lasts, and the end are told.
    false_per_hour: most false events an hour by the bundle's curve; None for the point that the bundle states.
    window_s: length of the sliding window in seconds. stride_s: seconds between predictions.
    gap_s: seconds without any point after which the window starts anew.
    least_s, least_seen: seconds and frames with points below which nothing is predicted.
    """

    decode: Decode = "sliding"
    reject: bool = True
    early: bool = False
    phases: bool = False
    false_per_hour: float | None = None
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
        if self.phases and self.decode == "segments":
            hint = "--decode sliding, or spans"
            raise UsageError("a motion that is cut out is known when it is over: it has no phases", hint=hint)


class Stream(Closeable, ABC):
    """Turns one source's points, frame by frame, into predictions and events; `Recogniser.stream` makes it.

    adapter: source points to the model's. labels: class names in logit order. person: who is followed where frames show
    more people than the model takes.
    current: the newest prediction; None while there is nothing to predict. decoder: its `threshold` may be changed at
    any time.
    """

    _file: tuple[Backend, Rejection]

    def __init__(
        self, *, adapter: Adapter, labels: tuple[str, ...], options: RecogniseOptions, person: str = "largest"
    ) -> None:
        self.adapter, self._labels, self._options = adapter, labels, options
        self.decoder: Decoder = DECODERS[options.decode](labels, options.decoding)
        self._follower = Follower(person, bodies=adapter.spec.bodies)
        self._mirrored, self._hand = list(mirrored_order(labels)), HandVote()
        self._newest_s = -np.inf
        self._newest: Points | None = None
        self.current: Prediction | None = None
        self._score = 0.0
        self._lasting: Event | None = None

    @abstractmethod
    def use(self, backend: Backend, rejection: Rejection) -> None:
        """Go on with another file of the same bundle; may be called from another thread."""

    @property
    def rejection(self) -> Rejection:
        """Temperature and least energy in use."""
        return self._file[1]

    def push(self, points: Points, time_s: float, *, seen: str = "") -> list[Event]:
        """Take one frame's points, (V, C) or (M, V, C) with NaN where missing, at `time_s`; the events it completes.

        seen: `left` or `right` where it is known which hand a frame shows: one that the bundle was not taught is
        mirrored, and so are the directions in the answer.
        Raises `InputError` for points of another shape than the source's layout, or infinite ones, and `UsageError`
        for a time before the last frame's.
        """
        points = checked_points(points, self.adapter, frames=False)
        if len(points) > self.adapter.spec.bodies:
            points = self._follower(points, time_s)
        if not time_s >= self._newest_s:
            raise UsageError("frames must come in the order of time", expected=f">= {self._newest_s} s", got=time_s)
        self._newest_s, self._newest = time_s, points
        self._hand.add(seen)
        events = self._in_phases(self._take(points, time_s), time_s)
        return [self._of_whom(event, points) for event in events] if events else []

    def _of_whom(self, event: Event, points: Points) -> Event:
        """The event with hand, person and place, as far as they are known."""
        place = Seen.of(points[0])
        x, y = (None, None) if place is None else (place.x, place.y)
        return replace(event, hand=self._hand.hand, person=self._follower.followed, x=x, y=y)

    def finish(self) -> list[Event]:
        """The recording has ended: the events of what was still shown. The next frame may begin another."""
        points, self._newest = self._newest, None
        if points is None:
            return []
        events = self._in_phases(self._end(), self._newest_s, last=True)
        return [self._of_whom(event, points) for event in events]

    def _in_phases(self, events: list[Event], time_s: float, *, last: bool = False) -> list[Event]:
        """The phases that are to be told at a moment, where they are asked for; the events themselves otherwise.

        events: those that were decided now. last: nothing follows, so what lasts ends.
        """
        if not self._options.phases:
            return events
        told = list[Event]()
        for event in events:
            told += [*self._ending(time_s), replace(event, phase="begin")]
            self._lasting = event
        lasting = self._lasting
        if lasting is not None and (last or self._shown != lasting.label):
            told += self._ending(time_s)
        elif lasting is not None and time_s - lasting.end_s >= HOLD_S:
            self._lasting = replace(lasting, end_s=time_s)
            told.append(replace(self._lasting, phase="hold"))
        return told

    def _ending(self, time_s: float) -> list[Event]:
        """The end of the gesture that lasts, if one does."""
        lasting, self._lasting = self._lasting, None
        return [] if lasting is None else [replace(lasting, phase="end", end_s=time_s)]

    @property
    def _shown(self) -> str:
        """The label that was told and still lasts, "" where none does."""
        return self.decoder.shown

    @abstractmethod
    def _end(self) -> list[Event]:
        """As `finish`, after a frame."""

    @abstractmethod
    def _take(self, points: Points, time_s: float) -> list[Event]:
        """As `push`, of a frame (M, V, C) that is in order."""

    @property
    def refused(self) -> str:
        """Why what is seen now is no event, "" where it is or nothing is seen; see `Decoder.refused`."""
        if self.decoder.refused != UNLIKE or self.current is None:
            return self.decoder.refused if self.current is not None else ""
        return f"{UNLIKE}: score {self._score:.1f}, least {self._file[1].least_energy:.1f}"

    def start_clip(self) -> None:
        """Forget the recording before: the next frame begins another, at any time."""
        self._hand.clear()
        self._follower.clear()
        self.decoder.reset()
        self._newest_s, self._newest = -np.inf, None
        self.current = self._lasting = None

    def close(self) -> None:
        """Forget every frame; the recogniser that made the stream stays open."""
        self.start_clip()

    def predict(self, points: Points, times: Times, *, top: int = TOP) -> Prediction:
        """The smoothed-by-nothing prediction for a whole clip: (T', V, C) or (M, T', V, C) points at (T',) seconds.

        `InputError` for points of another shape than the source's layout, infinite ones, or none to be seen, and where
        the graph's answer is no finite number.
        """
        began = time.perf_counter()
        whole = checked_points(points, self.adapter, frames=True)
        if not self.adapter.sees(whole.reshape(-1, *whole.shape[-2:])):
            expected = "a frame with any point that the bundle uses"
            raise InputError("the clip shows nothing", expected=expected, got=f"{whole.shape[1]} frames without any")
        probabilities = self._whole(whole, times)
        if probabilities is None:
            raise InputError("the graph's logits of this clip are not finite", hint="last-edge verify BUNDLE")
        return self._as_prediction(probabilities, float(times[0]), float(times[-1]), began, top=top)

    @abstractmethod
    def _whole(self, points: Points, times: Times) -> Probabilities | None:
        """The probability of each class in a clip (M, T, V, C); None without finite logits."""

    def _as_prediction(
        self, probabilities: Probabilities, start_s: float, end_s: float, began: float, *, top: int = TOP
    ) -> Prediction:
        best = np.argsort(-probabilities, kind="stable")[:top]
        guesses = tuple(Guess(self._labels[index], float(probabilities[index])) for index in best)
        return Prediction(start_s, end_s, guesses, {"recognise": (time.perf_counter() - began) * 1000})


class WindowStream(Stream):
    """A `Stream` of a model that takes clips: it is asked about windows, or about motions that are cut out.

    backend: raw landmarks to logits. rejection: temperature and least energy of the file that the backend runs.
    current: smoothed over windows, or of the last motion.
    """

    def __init__(
        self, backend: Backend, *, adapter: Adapter, labels: tuple[str, ...], options: RecogniseOptions,
        rejection: Rejection | None = None, person: str = "largest",
    ) -> None:  # fmt: skip
        super().__init__(adapter=adapter, labels=labels, options=options, person=person)
        if options.early:
            raise UsageError("--early is for bundles that answer at every frame", hint="--decode sliding tells early")
        self.use(backend, rejection or Rejection())
        self._window = SlidingWindow(seconds=options.window_s, gap_s=options.gap_s)
        self._segmenter = MotionSegmenter(adapter.spec.layout, options.segments)
        self._next_s = -np.inf

    def use(self, backend: Backend, rejection: Rejection) -> None:
        self._file = backend, rejection

    def start_clip(self) -> None:
        super().start_clip()
        self._window.clear()
        self._segmenter.clear()
        self._next_s = -np.inf

    def _end(self) -> list[Event]:
        """See `Stream`: a motion that has not come to rest ends with the recording."""
        if self._options.decode != "segments":
            return []
        event = self._decide(self._segmenter.finish(), self._newest_s)
        return [] if event is None else [event]

    def _take(self, points: Points, time_s: float) -> list[Event]:
        push = self._push_segment if self._options.decode == "segments" else self._push_window
        event = push(points, time_s)
        return [] if event is None else [event]

    def _whole(self, points: Points, times: Times) -> Probabilities | None:
        answer = self._answer(points, times)
        return None if answer is None else answer[0]

    def _push_window(self, points: Points, time_s: float) -> Event | None:
        self._window.push(points, time_s, seen=self.adapter.sees(points))
        if not self._shows_enough():
            self.current = None
            self.decoder.reset()
            return None
        if time_s < self._next_s:
            return None
        self._next_s = time_s + self._options.stride_s
        return self._predict_window(time_s)

    def _push_segment(self, points: Points, time_s: float) -> Event | None:
        return self._decide(self._segmenter.push(points, self.adapter(points[:, None])[:, 0], time_s), time_s)

    def _decide(self, motion: tuple[Points, Times] | None, time_s: float) -> Event | None:
        """The event that a motion is, if any."""
        if motion is None:
            return None
        began = time.perf_counter()
        answer = self._answer(*motion)
        if answer is None:
            self.current = None
            return None
        probabilities, known = answer
        start_s, end_s = float(motion[1][0]), float(motion[1][-1])
        self.current = self._as_prediction(probabilities, start_s, end_s, began)
        return self.decoder.decide(probabilities, start_s=start_s, end_s=time_s, known=known)

    def _shows_enough(self) -> bool:
        options, window = self._options, self._window
        return window.seen >= options.least_seen and window.seen_seconds >= options.least_s

    def _predict_window(self, time_s: float) -> Event | None:
        began = time.perf_counter()
        points, times = self._window.points()
        answer = self._answer(points, times)
        if answer is None:
            self.current = None
            self.decoder.reset()
            return None
        probabilities, known = answer
        event = self.decoder.push(probabilities, start_s=float(times[0]), end_s=time_s, known=known)
        assert self.decoder.mean is not None
        self.current = self._as_prediction(self.decoder.mean, float(times[0]), time_s, began)
        return event

    def _answer(self, points: Points, times: Times) -> tuple[Probabilities, bool] | None:
        """The probability of each class, and whether the motion is one that was taught; None without finite logits."""
        backend, rejection = self._file
        fitting, mirrored = self.adapter.fit(points, seen=self._hand.hand)
        fitted = fit_times(fitting, times, self.adapter.spec.frames)
        logits: NDArray[np.float32] = backend(fitted[None] if self.adapter.spec.bodies > 1 else fitted)[0]
        if not np.isfinite(logits).all():
            return None
        if mirrored:
            logits = logits[self._mirrored]
        self._score = float(energy(logits, rejection.temperature))
        return rejection.probabilities(logits), not self._options.reject or rejection.knows(logits)


MOST_BODIES = 10
"""More in one frame is taken for frames in the place of bodies."""


def checked_points(points: Points, adapter: Adapter, *, frames: bool) -> Points:
    """A caller's points as float32 (M, V, C), with `frames` (M, T, V, C); those of one body need no axis for it.

    `InputError` when they do not fit the layout that the adapter takes, hold infinite numbers or no frame.
    """
    try:
        array = np.asarray(points)
    except ValueError as error:
        raise InputError("points are an array of numbers", expected="equally many of each frame", got=error) from error
    if array.dtype.kind not in "fiu":
        raise InputError("points are an array of numbers", expected="floats or whole numbers", got=array.dtype)
    given = array.astype(np.float32, copy=False)
    rank = 4 if frames else 3
    whole = given[None] if given.ndim == rank - 1 else given
    fits = whole.ndim == rank and 0 not in whole.shape and whole.shape[-2] == adapter.layout.joints
    if not fits or whole.shape[-1] not in (2, 3) or len(whole) > MOST_BODIES:
        shape = f"{'T, ' if frames else ''}{adapter.layout.joints}, C"
        expected = f"({shape}) or (M, {shape}), the joints of {adapter.layout.name}"
        raise InputError("points do not fit the layout", expected=expected, got=given.shape)
    if np.isinf(whole).any():
        raise InputError("infinite points", expected="finite numbers, NaN where a point is missing")
    return whole
