"""What recognition says: a prediction for a span of time or a clip, and the event that decoding makes of several."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Phase = Literal["", "begin", "hold", "end"]
"""Of a gesture that is told while it lasts; "" where one event stands for all of it."""


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
