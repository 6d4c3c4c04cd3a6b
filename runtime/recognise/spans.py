"""From a posterior at every frame to gestures with a beginning and an end: one small rule and a table of numbers.

A gesture is held to be shown once the probability that any gesture is shown reaches `on`, until it has been below
`off` for `hold` frames. Its label is the one with the greatest sum of probabilities meanwhile. It becomes an event if
it lasted as long as its label does at least and was sure enough; its beginning is the earlier of its first frame above
`off` and what the network says of the time that has passed since, its end the last frame above `off`, each moved by
what all are late on average. A label has no shift and no threshold of its own: found on the people at hand, they fit
nobody else.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError
from last_edge.names import is_background
from last_edge.runtime.recognise.decoding import USUAL_THRESHOLD, Decoder, DecodingOptions, Event

Numbers = NDArray[np.float64]
LOWEST = 1e-6


@dataclass(frozen=True)
class SpanRules:
    """What `SpanDecoder` goes by; found by `last-edge fit-spans` and kept with the weights.

    labels: of the gestures, in the order of the probabilities, behind which background's stands. rate: frames a second.
    on, off, hold, smoothing: see the module; smoothing is the newest frame's weight in the exponential mean.
    sure: the least mean probability. least_s: of each label, the least seconds. start_s, end_s: seconds added to the
    beginning and the end. early: mean probability at which a label is told before the gesture ends; early_wrong:
    share of such answers that were wrong where the rules were found.
    """

    labels: tuple[str, ...]
    rate: float
    on: float
    off: float
    hold: int
    smoothing: float
    sure: float
    least_s: tuple[float, ...]
    start_s: float
    end_s: float
    early: float = 1.0
    early_wrong: float = 0.0
    schema_version: int = 1

    def __post_init__(self) -> None:
        fits = 0 < self.off <= self.on <= 1 and self.hold >= 1 and 0 < self.smoothing <= 1 and self.rate > 0
        if not fits or len(self.least_s) != len(self.labels):
            expected = "0 < off <= on <= 1, hold >= 1, 0 < smoothing <= 1, least_s with a number a label"
            raise InputError("rules for spans do not fit together", expected=expected, got=self)


@dataclass(frozen=True)
class SpanEvent:
    """A gesture: its mean probability, where it began and ended, and when that was decided, all in seconds.

    told_s: when its label was told already, None where only its end decided.
    """

    label: str
    probability: float
    start_s: float
    end_s: float
    decided_s: float
    told_s: float | None = None


@dataclass(frozen=True)
class Candidate:
    """What lay between `on` and `off`, before any table is asked. label: its number. Times in seconds."""

    label: int
    probability: float
    start_s: float
    end_s: float
    decided_s: float
    told_s: float | None = None


class SpanDecoder:
    """Holds the state between frames. told: the label that an early decision has told of the gesture that lasts.

    delay_s: seconds that an answer of the network comes after the frame that it is for. early: a gesture is an event as
    soon as its label is told, and not once more at its end. least: the least mean probability of an event where this is
    more than the rules ask for; may be changed at any time.
    """

    def __init__(self, rules: SpanRules, delay_s: float = 0.0, *, early: bool = False) -> None:
        self.rules, self.delay_s, self.early, self.least = rules, delay_s, early, 0.0
        self.reset()

    def reset(self) -> None:
        """Forget everything: what comes next is another recording, or a body that was lost."""
        self._mean: Numbers | None = None
        self._sum = np.zeros(len(self.rules.labels))
        self._began: list[float] = []
        self._first_s = self._last_s = 0.0
        self._below = 0
        self.told: str | None = None
        self._told_s: float | None = None

    def push(self, probabilities: Numbers, elapsed_s: float, time_s: float) -> SpanEvent | None:
        """Take probabilities (K + 1,), background last, that came at `time_s`; the event that they decide, if any."""
        return self._event(self.candidate(probabilities, elapsed_s, time_s), time_s)

    def end(self, time_s: float) -> SpanEvent | None:
        """The event that is still shown when a recording ends."""
        return self._event(self.close(time_s), time_s)

    def _event(self, found: Candidate | None, time_s: float) -> SpanEvent | None:
        if self.early and self.told is not None and self._told_s == time_s:
            return self._named(self._so_far(time_s))
        already = self.early and found is not None and found.told_s is not None
        return None if found is None or already else self.accepted(found)

    def candidate(self, probabilities: Numbers, elapsed_s: float, time_s: float) -> Candidate | None:
        """As `push`, before the tables are asked."""
        rules, weight, at_s = self.rules, self.rules.smoothing, time_s - self.delay_s
        self._mean = probabilities if self._mean is None else weight * probabilities + (1 - weight) * self._mean
        shown = 1.0 - float(self._mean[-1])
        if not self._began and shown < rules.on:
            return None
        if shown >= rules.off:
            self._sum += self._mean[:-1]
            self._first_s = self._first_s if self._began else at_s
            self._began.append(at_s - elapsed_s)
            self._last_s, self._below = at_s, 0
            self._tell(time_s)
            return None
        self._below += 1
        return self.close(time_s) if self._below >= rules.hold else None

    def close(self, time_s: float) -> Candidate | None:
        """What is still shown when a recording ends."""
        if not self._began:
            return None
        made = self._so_far(time_s)
        self._sum, self._began, self._below = np.zeros_like(self._sum), [], 0
        self.told = self._told_s = None
        return made

    def _so_far(self, time_s: float) -> Candidate:
        """What is shown, as if it ended now."""
        label, rules = int(self._sum.argmax()), self.rules
        start_s = min(self._first_s, float(np.median(self._began[len(self._began) // 2 :]))) + rules.start_s
        end_s = self._last_s + rules.end_s
        mean = float(self._sum[label]) / len(self._began)
        return Candidate(label, mean, max(start_s, 0.0), max(end_s, start_s, 0.0), time_s, self._told_s)

    def accepted(self, found: Candidate) -> SpanEvent | None:
        """The event that a candidate is by the tables; None where it was too short or not sure enough."""
        rules, label = self.rules, found.label
        short = found.end_s - found.start_s < rules.least_s[label]
        return None if short or found.probability < max(rules.sure, self.least) else self._named(found)

    def _named(self, found: Candidate) -> SpanEvent:
        label = self.rules.labels[found.label]
        return SpanEvent(label, found.probability, found.start_s, found.end_s, found.decided_s, found.told_s)

    def _tell(self, time_s: float) -> None:
        label = int(self._sum.argmax())
        mean = float(self._sum[label]) / len(self._began)
        lasted = self._last_s - float(np.median(self._began))
        if self.told is None and mean >= max(self.rules.early, self.least) and lasted >= self.rules.least_s[label]:
            self.told, self._told_s = self.rules.labels[label], time_s


def events_of(rules: SpanRules, probabilities: Numbers, elapsed_s: Numbers, delay_s: float = 0.0) -> list[SpanEvent]:
    """The events of a whole recording: probabilities (T, K + 1) and seconds (T,) of each of its frames at the rules'
    rate, which came `delay_s` later."""
    decoder = SpanDecoder(rules, delay_s)
    found = candidates_of(decoder, probabilities, elapsed_s)
    return [event for each in found if (event := decoder.accepted(each)) is not None]


def candidates_of(decoder: SpanDecoder, probabilities: Numbers, elapsed_s: Numbers) -> list[Candidate]:
    """As `events_of`, before the tables are asked."""
    decoder.reset()
    rate, found = decoder.rules.rate, list[Candidate]()
    for frame, (row, seconds) in enumerate(zip(probabilities, elapsed_s.tolist(), strict=True)):
        if (made := decoder.candidate(row, seconds, frame / rate + decoder.delay_s)) is not None:
            found.append(made)
    last = decoder.close((len(probabilities) - 1) / rate + decoder.delay_s)
    return found if last is None else [*found, last]


OFF, HOLD, EARLY = 0.5, 2, 0.5
"""Of `SpanwiseDecoder`: the share of the threshold below which a gesture is over, for how many answers, and the least
mean probability of its label, where the threshold is not below it."""


class SpanwiseDecoder(Decoder):
    """The rule of `SpanDecoder` in the place of a `Decoder`: for any network's answers, windows' among them.

    A gesture is told once, when its probability reaches the threshold and its label is sure, and the next one not
    before this one was over: the probability that any gesture is shown stayed below half the threshold. An answer that
    is unknown shows none. Of the options smoothing and threshold count.
    """

    def __init__(self, labels: tuple[str, ...], options: DecodingOptions) -> None:
        self._gestures = [place for place, label in enumerate(labels) if not is_background(label)]
        self._names = tuple(labels[place] for place in self._gestures)
        self._spans = SpanDecoder(self._rules(options.smoothing, USUAL_THRESHOLD), early=True)
        super().__init__(labels, options)

    def reset(self) -> None:
        """See `Decoder`."""
        super().reset()
        self._spans.reset()

    @property
    def shown(self) -> str:
        """See `Decoder`."""
        return self._spans.told or ""

    def push(self, probabilities: Numbers, *, start_s: float, end_s: float, known: bool = True) -> Event | None:
        """See `Decoder`."""
        super().push(probabilities, start_s=start_s, end_s=end_s, known=known)
        self._spans.rules = self._rules(self._options.smoothing, self.threshold)
        found = self._spans.push(self._shown(probabilities, known), 0.0, end_s)
        return None if found is None else Event(found.label, found.probability, start_s, end_s)

    def _rules(self, smoothing: float, threshold: float) -> SpanRules:
        none = (0.0,) * len(self._names)
        on = max(threshold, LOWEST)
        return SpanRules(self._names, 1.0, on, OFF * on, HOLD, smoothing, 0.0, none, 0.0, 0.0, early=min(EARLY, on))

    def _shown(self, probabilities: Numbers, known: bool) -> Numbers:
        """(K,) to (G + 1,): the gestures', and behind them that none is shown; of labels without background this is
        what the likeliest lacks, and the row sums to more than 1."""
        gestures = probabilities[self._gestures] * known
        shown = gestures.sum() if self.background else gestures.max()
        return np.append(gestures, 1.0 - shown)
