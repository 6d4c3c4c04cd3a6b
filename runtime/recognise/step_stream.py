"""Recognition of a stream by a model that answers at every frame and keeps a state a person."""

import time
from collections import deque

import numpy as np

from last_edge.bundle.manifest import StreamInfo
from last_edge.errors import InputError, UsageError
from last_edge.inputs.spec import sample_at
from last_edge.runtime.backends import Backend
from last_edge.runtime.backends.stepper import StepAnswer, Stepper
from last_edge.runtime.recognise.adapt import Adapter
from last_edge.runtime.recognise.decoding import Event, Probabilities, Rejection
from last_edge.runtime.recognise.spans import SpanDecoder, SpanEvent, SpanRules
from last_edge.runtime.recognise.stream import RecogniseOptions, Stream
from last_edge.runtime.recognise.window import Points, Times

CHOICE_S = 0.5
"""Seconds of frames in which the hand that is seen more is the one that counts."""
NEAR_S = 1e-6


class Ticks:
    """Frames `1 / rate` seconds apart, from the first one on: what lies between two frames, as soon as both are known.

    A point that either of the two frames lacks is the nearer frame's. A frame never waits for more than the next one;
    sources that are slower than the rate give several ticks a frame, faster ones none now and then.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.clear()

    def clear(self) -> None:
        """The next frame is another first one."""
        self._before: tuple[Points, float] | None = None
        self._start_s, self._count = 0.0, 0

    def push(self, points: Points, time_s: float) -> list[tuple[Points, float]]:
        """The ticks up to a frame (M, V, C) at `time_s`, each with its moment; times must not fall."""
        if self._before is None:
            self._start_s, self._count = time_s, 0
            self._before = points, time_s
        (before, before_s), ticks = self._before, []
        while (moment := self._start_s + self._count / self._rate) <= time_s + NEAR_S:
            span = time_s - before_s
            share = 1.0 if span <= 0 else min(max((moment - before_s) / span, 0.0), 1.0)
            ticks.append((sample_at(np.stack([before, points], axis=1), np.array([share]))[:, 0], moment))
            self._count += 1
        self._before = points, time_s
        return ticks


class StepStream(Stream):
    """A `Stream` of a model that answers at every frame; frames are resampled to its rate by their time stamps.

    The state begins anew with each recording, and where nothing was seen for `options.gap_s`; such a time is not
    looked at. rules: how answers become gestures; without them `decoder` decides frame by frame. Its threshold is then
    the least mean probability of a gesture beside the rules' own. Of `options` the window's do not count. A gesture
    that is still shown where a recording ends, or its body is lost, ends there. Raises `UsageError` for decode
    `segments`, and for `early` and `phases` without rules that say how often such answers are wrong.
    """

    def __init__(
        self, stepper: Stepper, *, info: StreamInfo, rules: SpanRules | None = None, adapter: Adapter,
        labels: tuple[str, ...], options: RecogniseOptions, rejection: Rejection, person: str = "largest",
    ) -> None:  # fmt: skip
        if options.decode == "segments":
            raise UsageError("this bundle answers at every frame: there is nothing to cut", got="decode segments")
        early = "--early" if options.early else "--phases" if options.phases and rules is not None else ""
        if early and (rules is None or rules.early >= 1.0):
            raise UsageError(
                f"{early}: the bundle does not say how often early answers are wrong",
                expected="rules of `last-edge fit-spans`", hint="last-edge fit-spans RUN --store STORE, then export",
            )  # fmt: skip
        super().__init__(adapter=adapter, labels=labels, options=options, person=person)
        self.use(stepper, rejection)
        self._rate, self._delay, self._delay_s, self._ticks = info.rate, info.delay, info.delay_s, Ticks(info.rate)
        self._spans = None if rules is None else SpanDecoder(rules, info.delay_s, early=options.early or options.phases)
        if rules is not None and options.decoding.threshold is None:
            self.decoder.threshold = rules.sure
        self._recent: deque[tuple[float, Points]] = deque()
        self._last: tuple[Points, float, bool] | None = None
        self._answers = 0
        self._state, self._seen_s = stepper.start(), -np.inf

    def use(self, backend: Backend, rejection: Rejection) -> None:
        """See `Stream`; the state goes on."""
        if not isinstance(backend, Stepper):
            raise InputError("not a graph that answers at every frame", got=backend.name)
        self._file, self._stepper = (backend, rejection), backend

    @property
    def _shown(self) -> str:
        return self.decoder.shown if self._spans is None else self._spans.told or ""

    def start_clip(self) -> None:
        super().start_clip()
        self._forget()
        self._seen_s = -np.inf

    def _forget(self) -> None:
        """What comes next is the beginning of something else."""
        self._last, self._answers = None, 0
        self._ticks.clear()
        self._recent.clear()
        self._state = self._stepper.start()
        self.decoder.reset()
        if self._spans is not None:
            self._spans.reset()
        self.current = None

    def _take(self, points: Points, time_s: float) -> list[Event]:
        seen, lost = self.adapter.sees(points), time_s - self._seen_s > self._options.gap_s
        events = list[Event]()
        if lost and self._recent:
            events += self._close(time_s)
            self._forget()
        if lost and not seen:
            return events
        if seen:
            self._seen_s = time_s
        fitted, mirrored = self._fit(points, time_s)
        for tick, moment in self._ticks.push(fitted, time_s):
            events += self._answer(tick, moment, mirrored=mirrored)
        return events

    def _end(self) -> list[Event]:
        """See `Stream`: the last frame stands still until the model has answered it, and what is shown then ends."""
        if self._last is None:
            return []
        (points, moment, mirrored), events = self._last, list[Event]()
        for _ in range(self._delay):
            moment += 1 / self._rate
            events += self._answer(points, moment, mirrored=mirrored)
        events += self._close(moment)
        self._forget()
        return events

    def _answer(self, tick: Points, moment: float, *, mirrored: bool) -> list[Event]:
        """The events that the next frame (1, V, C) at the model's rate completes."""
        began = time.perf_counter()
        answer = self._step(tick)
        if answer is None:
            self._forget()
            return []
        self._last, self._answers = (tick, moment, mirrored), self._answers + 1
        probabilities, known, elapsed = self._read(answer, mirrored=mirrored)
        began_s = moment - self._delay_s - elapsed
        event = self.decoder.push(probabilities, start_s=began_s, end_s=moment, known=known)
        if self._spans is not None:
            self._spans.least, event = self.decoder.threshold, None
            if self._answers > self._delay:  # the first answers are for frames before the first
                event = _as_event(self._spans.push(probabilities, elapsed, moment))
        assert self.decoder.mean is not None
        self.current = self._as_prediction(self.decoder.mean, began_s, moment, began)
        return [] if event is None else [event]

    def _close(self, time_s: float) -> list[Event]:
        """The gesture that is still shown, as it ends."""
        event = None if self._spans is None else _as_event(self._spans.end(time_s))
        return [] if event is None else [event]

    def _fit(self, points: Points, time_s: float) -> tuple[Points, bool]:
        """The frame as the model takes it, and whether it is mirrored; of two hands the one seen more of late."""
        self._recent.append((time_s, points))
        while time_s - self._recent[0][0] > (CHOICE_S if self.adapter.chooses else 0.0):
            self._recent.popleft()
        recent = np.stack([frame for _, frame in self._recent], axis=1)
        fitted, mirrored = self.adapter.fit(recent, seen=self._hand.hand)
        return fitted[:, -1], mirrored

    def _step(self, points: Points) -> StepAnswer | None:
        """The answer to the next frame (1, V, C) at the model's rate; None where it is no finite number."""
        answer, self._state = self._stepper.step(points, self._state)
        return answer if np.isfinite(answer.logits).all() else None

    def _read(self, answer: StepAnswer, *, mirrored: bool) -> tuple[Probabilities, bool, float]:
        """Probabilities (K,), whether the motion is one that was taught, and seconds since it began."""
        logits, rejection = answer.logits[0], self._file[1]
        if mirrored:
            logits = logits[self._mirrored]
        known = not self._options.reject or rejection.knows(logits)
        return rejection.probabilities(logits), known, float(answer.elapsed[0])

    def _whole(self, points: Points, times: Times) -> Probabilities | None:
        """As the last frames say it that show a gesture: the mean over frames, weighed by what is no background."""
        fitted, mirrored = self.adapter.fit(points, seen=self._hand.hand)
        stepper, ticks, answered = self._stepper, Ticks(self._rate), list[Probabilities]()
        state = stepper.start()
        for frame, time_s in enumerate(times.tolist()):
            for tick, _ in ticks.push(fitted[:, frame], time_s):
                answer, state = stepper.step(tick, state)
                if not np.isfinite(answer.logits).all():
                    return None
                answered.append(self._read(answer, mirrored=mirrored)[0])
        probabilities = np.stack(answered)
        weight = 1e-9 + 1.0 - probabilities[:, list(self.decoder.background)].sum(axis=1)
        return np.asarray(weight @ probabilities / weight.sum())


def _as_event(found: SpanEvent | None) -> Event | None:
    """A gesture, told at the moment when it was decided."""
    return None if found is None else Event(found.label, found.probability, found.start_s, found.decided_s)
