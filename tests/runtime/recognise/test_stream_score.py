"""Scoring events by hand-made spans."""

from __future__ import annotations

from last_edge.clips.compose import Span
from last_edge.runtime.recognise.decoding import Event
from last_edge.runtime.recognise.stream_eval import StreamScore, answered

SPANS = (Span("a", 1.0, 2.0), Span("", 5.0, 6.0), Span("b", 9.0, 10.0))


def scored(*events: tuple[str, float]) -> StreamScore:
    score = StreamScore()
    score.add([Event(label, 0.9, end_s - 1, end_s) for label, end_s in events], SPANS, seconds=60.0)
    return score


def test_an_event_speaks_of_the_last_span_begun_for_two_seconds_after_it() -> None:
    assert answered(0.5, SPANS) is None
    assert answered(1.0, SPANS) == answered(4.0, SPANS) == SPANS[0]
    assert answered(4.1, SPANS) is None and answered(9.5, SPANS) == SPANS[2]


def test_every_event_is_counted_once_by_what_is_wrong_with_it() -> None:
    score = scored(("a", 1.5), ("a", 2.5), ("b", 3.0), ("a", 4.5), ("b", 5.5), ("b", 10.5))
    assert (score.found, score.repeated, score.wrong, score.in_idle, score.in_unknown) == (2, 1, 1, 1, 1)
    told = score.to_dict()
    assert told["detection_rate"] == 100.0 and told["false_per_minute"] == 4.0
    assert told["delay_p50_s"] == 0.0 and score.delays_s == [-0.5, 0.5]


def test_a_silent_stream_has_no_delay_and_nothing_found() -> None:
    told = scored().to_dict()
    assert told["detection_rate"] == 0.0 and told["false_per_minute"] == 0.0 and told["delay_p50_s"] is None
    assert (told["gestures"], told["unknown"], told["minutes"]) == (2, 1, 1.0)


def test_streams_add_up() -> None:
    score = scored(("a", 2.0))
    score.add([], SPANS, seconds=60.0)
    assert score.to_dict()["detection_rate"] == 25.0
