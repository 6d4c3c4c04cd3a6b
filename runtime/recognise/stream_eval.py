"""Composed streams played through the recogniser as `run` would, frame by frame, and its events against what was done:
how many gestures were found, how many events are false, how late.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.compose import Span
from last_edge.clips.compose import Stream as ComposedStream
from last_edge.errors import InputError
from last_edge.runtime.backends import Backend
from last_edge.runtime.recognise.decoding import Event
from last_edge.runtime.recognise.span_score import SpanScore
from last_edge.runtime.recognise.stream import RecogniseOptions
from last_edge.runtime.recogniser import Recogniser
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units

TOLERANCE_S = 2.0
NEVER = np.float32(-1e4)


@dataclass
class StreamScore:
    """Counts over any number of streams.

    gestures, unknown: spans of known classes, and of none. found: gestures with an event of their class that comes
    after they begin and at most two seconds after they end, before the next span begins. delays_s: of those, from the
    gesture's end; negative while it still lasts.
    False events: wrong (in a gesture's time, of another class), repeated (of one already found), in_unknown, in_idle.
    """

    seconds: float = 0.0
    gestures: int = 0
    unknown: int = 0
    found: int = 0
    wrong: int = 0
    repeated: int = 0
    in_unknown: int = 0
    in_idle: int = 0
    delays_s: list[float] = field(default_factory=list)

    def add(self, events: Sequence[Event], spans: Sequence[Span], *, seconds: float) -> None:
        """Count one stream's events, by the moment of each decision."""
        self.seconds += seconds
        self.gestures += sum(bool(span.label) for span in spans)
        self.unknown += sum(not span.label for span in spans)
        found: set[Span] = set()
        for event in events:
            self._count(event, answered(event.end_s, spans), found)

    def _count(self, event: Event, span: Span | None, found: set[Span]) -> None:
        if span is None:
            self.in_idle += 1
        elif not span.label:
            self.in_unknown += 1
        elif span.label != event.label:
            self.wrong += 1
        elif span in found:
            self.repeated += 1
        else:
            found.add(span)
            self.found += 1
            self.delays_s.append(event.end_s - span.end_s)

    def to_dict(self) -> dict[str, float | int | None]:
        """Shares in percent, false events a minute, delays in seconds; None where there is nothing to say it of."""
        false = {name: getattr(self, name) for name in ("wrong", "repeated", "in_unknown", "in_idle")}
        p50, p95 = np.percentile(self.delays_s, [50, 95]).tolist() if self.delays_s else (None, None)
        return {
            "minutes": round(self.seconds / 60, 2),
            "gestures": self.gestures,
            "unknown": self.unknown,
            "found": self.found,
            "detection_rate": round(100 * self.found / self.gestures, 2) if self.gestures else None,
            "false_per_minute": round(60 * sum(false.values()) / self.seconds, 2) if self.seconds else None,
            **false,
            "delay_p50_s": None if p50 is None else round(p50, 2),
            "delay_p95_s": None if p95 is None else round(p95, 2),
        }


def answered(moment_s: float, spans: Sequence[Span]) -> Span | None:
    """The span that an event of a moment speaks of: the last one begun, unless it ended too long ago."""
    begun = [span for span in spans if span.start_s <= moment_s]
    return begun[-1] if begun and moment_s <= begun[-1].end_s + TOLERANCE_S else None


class Silenced:
    """A backend that never answers with some classes, as if it had not been taught them."""

    def __init__(self, backend: Backend, silent: Sequence[int]) -> None:
        self._backend, self._silent = backend, list(silent)

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, K) logits."""
        logits = self._backend(points).copy()
        logits[:, self._silent] = NEVER
        return logits


def evaluate_streams(
    model: Recogniser, streams: Sequence[ComposedStream], *, layout: Layout, units: Units, options: RecogniseOptions,
    unknown: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Detection rate, false events a minute and delay, over all and by person; beside them the contest's `SpanScore`,
    in which an event spans from the start of its window to the moment of the decision.

    layout, units: of the streams' points. unknown: classes whose clips the streams play as unknown motions; the model
    keeps silent on them. `InputError` when the model has no such class.
    """
    if strange := set(unknown) - set(model.labels):
        raise InputError("the bundle has no such class", got=", ".join(sorted(strange)), expected=list(model.labels))
    backend: Any = Silenced(model.backend, [model.labels.index(label) for label in unknown])
    whole, spans, by_subject = StreamScore(), SpanScore(), {}
    for composed in streams:
        one = StreamScore()
        stream = model.stream(layout=layout, units=units, options=options)
        if unknown:
            stream.use(backend, stream.rejection)
        moments = enumerate(composed.times.tolist())
        events = [event for frame, moment in moments for event in stream.push(composed.points[:, frame], moment)]
        events += stream.finish()
        for score in (whole, one):
            score.add(events, composed.spans, seconds=float(composed.times[-1]))
        spans.add(
            [Span(event.label, event.start_s, event.end_s) for event in events],
            [span for span in composed.spans if span.label],
            seconds=float(composed.times[-1]),
        )
        by_subject[composed.subject] = one.to_dict()
    fps = float(np.median([1 / np.diff(composed.times).mean() for composed in streams])) if streams else 0.0
    return {**whole.to_dict(), **spans.to_dict(fps=fps), "by_class": spans.by_class(), "by_subject": by_subject}
