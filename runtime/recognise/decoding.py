"""From logits to predictions and events: how sure a model is, when to say nothing, and when a stream becomes an event.

Probabilities are softmax(logits / T) (Guo et al. 2017). The energy score T log sum exp(logits / T) (Liu et al. 2020) is
low where no class answers, as for an idle body or an unknown motion; it needs the logits alone, so any file gives it.
Temperature and least energy are found when a bundle is exported. Events come of the probabilities by smoothing,
rejection, confirmation and debounce.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import UsageError
from last_edge.logits import energy, softmax
from last_edge.names import is_background

Phase = Literal["", "begin", "hold", "end"]
"""Of a gesture that is told while it lasts; "" where one event stands for all of it."""
Probabilities = NDArray[np.float64]
USUAL_THRESHOLD = 0.6
SILENT, UNLIKE = "nothing", "unlike what was taught"
Row = dict[str, float]


@dataclass(frozen=True)
class Guess:
    """A class and its probability, 0..1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The most likely classes of the points between two moments.

    start_s, end_s: first and last moment with points. top: best first. milliseconds: what each stage took.
    """

    start_s: float
    end_s: float
    top: tuple[Guess, ...]
    milliseconds: dict[str, float] = field(default_factory=dict)
    schema_version: int = 1

    @property
    def best(self) -> Guess:
        """The most likely class."""
        return self.top[0]


@dataclass(frozen=True)
class Event:
    """A recognised gesture, after smoothing, rejection and debounce.

    start_s: where the window that shows it begins. end_s: the moment of the decision. probability: smoothed, 0..1.
    hand: `left` or `right` where the source says which it shows, else "". person: number of who is followed, where a
    frame showed several; x, y: middle of their points at `end_s`, in the source's units. None where not known.
    phase: what of the gesture this tells, at `end_s`.
    """

    label: str
    probability: float
    start_s: float
    end_s: float
    hand: str = ""
    person: int | None = None
    x: float | None = None
    y: float | None = None
    phase: Phase = ""
    schema_version: int = 1

    @property
    def counts(self) -> bool:
        """Whether it is the first that is told of its gesture."""
        return self.phase in ("", "begin")


@dataclass(frozen=True)
class ClipResult:
    """The prediction for one whole recording of `frames` frames, and its true class where it is known."""

    name: str
    prediction: Prediction
    frames: int
    label: str | None


@dataclass(frozen=True)
class Rejection:
    """temperature: divides the logits. least_energy: score below which a motion is unknown; -inf refuses nothing."""

    temperature: float = 1.0
    least_energy: float = -np.inf

    @classmethod
    def of(cls, thresholds: Mapping[str, float]) -> Rejection:
        """What a manifest's `thresholds` say; the usual where they say nothing."""
        return cls(thresholds.get("temperature", 1.0), thresholds.get("energy", -np.inf))

    def knows(self, logits: NDArray[np.float32]) -> bool:
        """Whether logits (K,) are those of a motion that the model was taught."""
        return bool(energy(logits, self.temperature) >= self.least_energy)

    def probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        """(K,) logits to probabilities that sum to 1."""
        return softmax(logits / self.temperature)


@dataclass(frozen=True)
class DecodingOptions:
    """When a stream of predictions becomes an event.

    smoothing: weight of the newest probabilities in the exponential mean, 0..1; 1 smooths nothing.
    threshold: smoothed probability the best class needs; None takes the bundle's own, or 0.6 where it has none.
    release: share of the threshold below which a held class may fire again.
    confirm: predictions in a row that must agree. cooldown_s: least time between two events of one class.
    """

    smoothing: float = 0.5
    threshold: float | None = None
    release: float = 0.7
    confirm: int = 2
    cooldown_s: float = 1.0

    def __post_init__(self) -> None:
        shares = (self.threshold or 0.0, self.release)
        if not 0 < self.smoothing <= 1 or not all(0 <= share <= 1 for share in shares) or self.confirm < 1:
            raise UsageError(
                "decoding options do not fit together",
                expected="0 < smoothing <= 1, threshold and release in 0..1, confirm >= 1",
                got=self,
            )


class Decoder:
    """Holds the state between predictions.

    mean: the smoothed probability of each class. threshold: what the best class needs; may be changed at any time.
    refused: why the newest answer is no event: background, unlike what was taught, or not sure enough; "" where it is
    one or may become one.
    background: places of the labels that mean nothing is shown.
    """

    def __init__(self, labels: tuple[str, ...], options: DecodingOptions) -> None:
        self._labels, self._options = labels, options
        self.background = frozenset(place for place, label in enumerate(labels) if is_background(label))
        self.threshold = USUAL_THRESHOLD if options.threshold is None else options.threshold
        self._fired: dict[int, float] = {}
        self.reset()

    def reset(self) -> None:
        """Forget the smoothing and the confirmation: what comes next is another motion."""
        self.mean: Probabilities | None = None
        self.refused = ""
        self._candidate, self._agreed, self._held = -1, 0, -1

    def push(self, probabilities: Probabilities, *, start_s: float, end_s: float, known: bool = True) -> Event | None:
        """Take the probabilities (K,) of the window from `start_s` to `end_s`; the event they complete, if any.

        known: False for a motion that the model was not taught: it confirms nothing, and neither does background.
        """
        weight = self._options.smoothing
        self.mean = probabilities if self.mean is None else weight * probabilities + (1 - weight) * self.mean
        best = int(self.mean.argmax())
        probability = float(self.mean[best])
        lowest = self._options.release * self.threshold
        if self.mean is not None and self._held >= 0 and self.mean[self._held] < lowest:
            self._held = -1
        self.refused = self._why_not(best, probability, known)
        known = known and best not in self.background
        if not self._confirmed(best, probability if known else 0.0) or not self._may_fire(best, end_s):
            return None
        self._held, self._fired[best] = best, end_s
        return Event(self._labels[best], probability, start_s, end_s)

    @property
    def shown(self) -> str:
        """The label that was told and still lasts, "" where none does."""
        return "" if self._held < 0 else self._labels[self._held]

    def decide(self, probabilities: Probabilities, *, start_s: float, end_s: float, known: bool = True) -> Event | None:
        """The event of one whole motion with probabilities (K,), judged alone: nothing to smooth and to confirm."""
        best = int(probabilities.argmax())
        self.refused = self._why_not(best, float(probabilities[best]), known)
        if self.refused:
            return None
        return Event(self._labels[best], float(probabilities[best]), start_s, end_s)

    def _why_not(self, best: int, probability: float, known: bool) -> str:
        if best in self.background:
            return SILENT
        if not known:
            return UNLIKE
        short = probability < self.threshold
        return f"{self._labels[best]} {probability:.0%}, below {self.threshold:.0%}" if short else ""

    def _confirmed(self, best: int, probability: float) -> bool:
        """Whether the best class was sure enough `confirm` times in a row."""
        if probability < self.threshold or probability == 0:
            self._candidate, self._agreed = -1, 0
            return False
        self._agreed = self._agreed + 1 if best == self._candidate else 1
        self._candidate = best
        return self._agreed >= self._options.confirm

    def _may_fire(self, best: int, now_s: float) -> bool:
        rested = now_s - self._fired.get(best, -np.inf) >= self._options.cooldown_s
        return best != self._held and rested


@dataclass(frozen=True)
class OperatingPoint:
    """threshold: least probability of an event. energy: least score of a motion that was taught. detection: percent of
    gestures found. false_per_hour: events that are none. stated: whether it is what the bundle works at unasked.
    """

    threshold: float
    energy: float
    detection: float
    false_per_hour: float
    stated: bool = False

    @classmethod
    def of(cls, row: Row) -> OperatingPoint:
        """From a row of a manifest's `operating`."""
        figures = (row["threshold"], row["energy"], row["detection"], row["false_per_hour"])
        return cls(*figures, bool(row.get("stated", 0)))


def choose_point(
    operating: Mapping[str, Sequence[Row]], decode: str, *, most_false: float | None = None, where: object = None
) -> OperatingPoint | None:
    """The point that a bundle states for a way of decoding; with `most_false`, the one that finds most at no more false
    events an hour. None where the bundle has no curve and none is asked for.

    Raises `UsageError` where a rate is asked of a bundle without a curve, or a lower one than the curve reaches.
    """
    points = [OperatingPoint.of(row) for row in operating.get(decode, ())]
    if most_false is None:
        return next((point for point in points if point.stated), None)
    if not points:
        hint = "last-edge thresholds BUNDLE --store STORE --run RUN, or --threshold"
        raise UsageError(f"the bundle has no curve of false events for {decode}", where=where, hint=hint)
    fitting = [point for point in points if point.false_per_hour <= most_false]
    if not fitting:
        least = min(point.false_per_hour for point in points)
        raise UsageError(
            "the bundle's curve has no point with so few false events", where=where,
            expected=f"{least:g} an hour or more ({decode})", got=most_false, hint="last-edge thresholds BUNDLE",
        )  # fmt: skip
    return max(fitting, key=lambda point: (point.detection, -point.false_per_hour))
