"""Recognition of a stream by a model that answers at every frame and keeps a state a person."""

from __future__ import annotations

import time
from collections import deque

import numpy as np

from last_edge.bundle.manifest import StreamInfo
from last_edge.errors import InputError, UsageError
from last_edge.runtime.backends import Backend
from last_edge.runtime.backends.stepper import StepAnswer, Stepper
from last_edge.runtime.recognise.adapt import Adapter
from last_edge.runtime.recognise.decoding import Probabilities, Rejection
from last_edge.runtime.recognise.results import Event
from last_edge.runtime.recognise.spans import SpanDecoder, SpanEvent, SpanRules
from last_edge.runtime.recognise.stream import RecogniseOptions, Stream
from last_edge.runtime.recognise.ticks import Ticks
from last_edge.runtime.recognise.window import Points, Times

CHOICE_S = 0.5
"""Seconds of frames in which the hand that is seen more is the one that counts."""


class StepStream(Stream):
    """A `Stream` of a model that answers at every frame; frames are resampled to its rate by their time stamps.

    The state begins anew with each recording, and where nothing was seen for `options.gap_s`; such a time is not
    looked at. rules: how answers become gestures; without them `decoder` decides frame by frame. Its threshold is then
    the least mean probability of a gesture beside the rules' own. Of `options` the window's do not count. Raises
    `UsageError` for decode `segments`.
    """

    def __init__(
        self, stepper: Stepper, *, info: StreamInfo, rules: SpanRules | None = None, adapter: Adapter,
        labels: tuple[str, ...], options: RecogniseOptions, rejection: Rejection, person: str = "largest",
    ) -> None:  # fmt: skip
        if options.decode == "segments":
            raise UsageError("this bundle answers at every frame: there is nothing to cut", got="decode segments")
        super().__init__(adapter=adapter, labels=labels, options=options, person=person)
        self.use(stepper, rejection)
        self._rate, self._delay_s, self._ticks = info.rate, info.delay_s, Ticks(info.rate)
        self._spans = None if rules is None else SpanDecoder(rules, info.delay_s)
        if rules is not None and options.decoding.threshold is None:
            self.decoder.threshold = rules.sure
        self._recent: deque[tuple[float, Points]] = deque()
        self._state, self._seen_s = stepper.start(), -np.inf

    def use(self, backend: Backend, rejection: Rejection) -> None:
        """See `Stream`; the state goes on."""
        if not isinstance(backend, Stepper):
            raise InputError("not a graph that answers at every frame", got=backend.name)
        self._file, self._stepper = (backend, rejection), backend

    def start_clip(self) -> None:
        super().start_clip()
        self._forget()
        self._seen_s = -np.inf

    def _forget(self) -> None:
        """What comes next is the beginning of something else."""
        self._ticks.clear()
        self._recent.clear()
        self._state = self._stepper.start()
        self.decoder.reset()
        if self._spans is not None:
            self._spans.reset()
        self.current = None

    def _take(self, points: Points, time_s: float) -> list[Event]:
        seen, lost = self.adapter.sees(points), time_s - self._seen_s > self._options.gap_s
        if lost and self._recent:
            self._forget()
        if lost and not seen:
            return []
        if seen:
            self._seen_s = time_s
        began, events = time.perf_counter(), list[Event]()
        fitted, mirrored = self._fit(points, time_s)
        for tick, moment in self._ticks.push(fitted, time_s):
            answer = self._step(tick)
            if answer is None:
                self._forget()
                return events
            probabilities, known, elapsed = self._read(answer, mirrored=mirrored)
            began_s = moment - self._delay_s - elapsed
            event = self.decoder.push(probabilities, start_s=began_s, end_s=moment, known=known)
            if self._spans is not None:
                event = self._as_event(self._spans.push(probabilities, elapsed, moment))
            assert self.decoder.mean is not None
            self.current = self._as_prediction(self.decoder.mean, began_s, moment, began)
            events += [] if event is None else [event]
        return events

    def _as_event(self, found: SpanEvent | None) -> Event | None:
        """A gesture, told at the moment when its end was decided."""
        if found is None or found.probability < self.decoder.threshold:
            return None
        return Event(found.label, found.probability, found.start_s, found.decided_s)

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
        stepper, ticks, heard = self._stepper, Ticks(self._rate), list[Probabilities]()
        state = stepper.start()
        for frame, time_s in enumerate(times.tolist()):
            for tick, _ in ticks.push(fitted[:, frame], time_s):
                answer, state = stepper.step(tick, state)
                if not np.isfinite(answer.logits).all():
                    return None
                heard.append(self._read(answer, mirrored=mirrored)[0])
        probabilities = np.stack(heard)
        weight = 1e-9 + 1.0 - probabilities[:, list(self.decoder.background)].sum(axis=1)
        return np.asarray(weight @ probabilities / weight.sum())
