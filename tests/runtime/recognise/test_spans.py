"""Posteriors become gestures by a rule and a table; both are told what they may be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from last_edge import records
from last_edge.errors import InputError
from last_edge.runtime.recognise.decoding import DecodingOptions
from last_edge.runtime.recognise.spans import SpanDecoder, SpanRules, SpanwiseDecoder, events_of

LABELS = ("wave", "tap")
RULES = SpanRules(
    LABELS, rate=10.0, on=0.6, off=0.3, hold=2, smoothing=1.0, sure=0.5, least_s=(0.4, 0.0), start_s=0.0,
    end_s=0.0,
)  # fmt: skip


def posterior(*runs: tuple[int, float, float]) -> np.ndarray:
    """(frames, probability of wave, of tap) one after another."""
    rows = [[wave, tap, 1 - wave - tap] for frames, wave, tap in runs for _ in range(frames)]
    return np.array(rows)


def test_a_gesture_begins_when_the_network_says_and_ends_when_it_stops() -> None:
    shown = posterior((10, 0.0, 0.1), (20, 0.9, 0.0), (10, 0.0, 0.0))
    elapsed = np.maximum(np.arange(40) - 8, 0) / 10  # it began two frames before the posterior rose
    (event,) = events_of(RULES, shown, elapsed)
    assert (event.label, event.start_s, event.end_s) == ("wave", pytest.approx(0.8), pytest.approx(2.9))
    assert event.probability == pytest.approx(0.9) and event.decided_s == pytest.approx(3.1), "two frames below off"


def test_a_short_dip_does_not_end_a_gesture_and_a_long_one_does() -> None:
    zeros = np.zeros(40)
    assert len(events_of(RULES, posterior((10, 0, 0.9), (1, 0, 0), (10, 0, 0.9), (5, 0, 0)), zeros[:26])) == 1
    assert len(events_of(RULES, posterior((10, 0, 0.9), (3, 0, 0), (10, 0, 0.9), (5, 0, 0)), zeros[:28])) == 2


def test_too_short_and_not_sure_enough_is_no_event() -> None:
    elapsed = (np.arange(20) % 10) / 10
    assert not events_of(RULES, posterior((3, 0.9, 0), (7, 0, 0)), elapsed[:10]), "a wave lasts 0.4 seconds at least"
    assert events_of(RULES, posterior((3, 0, 0.9), (7, 0, 0)), elapsed[:10]), "a tap may be short"
    assert not events_of(RULES, posterior((10, 0.45, 0.4), (5, 0, 0)), np.arange(15) / 10)
    assert events_of(replace(RULES, sure=0.4), posterior((10, 0.45, 0.4), (5, 0, 0)), np.arange(15) / 10)


def test_the_label_is_the_one_with_the_greater_sum_and_borders_move() -> None:
    rules = replace(RULES, start_s=0.2, end_s=-0.3)
    (event,) = events_of(rules, posterior((4, 0.9, 0), (10, 0, 0.9), (5, 0, 0)), np.arange(19) / 10)
    assert event.label == "tap" and event.end_s == pytest.approx(1.0)


def test_late_answers_are_of_the_frames_they_are_for_and_decided_later() -> None:
    shown, elapsed = posterior((10, 0.0, 0.1), (20, 0.9, 0.0), (10, 0.0, 0.0)), np.zeros(40)
    (event,) = events_of(RULES, shown, elapsed)
    (late,) = events_of(RULES, shown, elapsed, 0.4)
    assert late.decided_s == pytest.approx(event.decided_s + 0.4)
    assert (late.label, late.end_s) == (event.label, pytest.approx(event.end_s))
    assert (event.start_s, late.start_s) == (pytest.approx(1.0), pytest.approx(1.0)), "its first frame above off"


def test_a_recording_that_ends_within_a_gesture_ends_it() -> None:
    (event,) = events_of(RULES, posterior((5, 0, 0), (10, 0, 0.9)), np.zeros(15))
    assert event.end_s == pytest.approx(1.4)


def test_a_label_is_told_early_once_and_forgotten_at_the_end() -> None:
    decoder = SpanDecoder(replace(RULES, early=0.8))
    told = []
    for frame, row in enumerate(posterior((10, 0.9, 0), (5, 0, 0))):
        decoder.push(row, frame / 10, frame / 10)
        told.append(decoder.told)
    assert told[3] is None and told[5] == "wave" and told[-1] is None
    decoder.reset()
    events = [decoder.push(row, frame / 10, frame / 10) for frame, row in enumerate(posterior((10, 0.9, 0), (5, 0, 0)))]
    event = next(event for event in events if event is not None)
    assert event.told_s == pytest.approx(0.4) and event.decided_s == pytest.approx(1.1)


def test_rules_are_a_file_and_must_fit_together(tmp_path) -> None:  # type: ignore[no-untyped-def]
    records.save(RULES, tmp_path / "spans.json")
    assert records.load(SpanRules, tmp_path / "spans.json") == RULES
    for change in ({"off": 0.7}, {"hold": 0}, {"least_s": (0.5,)}, {"smoothing": 0.0}):
        with pytest.raises(InputError, match="do not fit together"):
            replace(RULES, **change)


def told(decoder: SpanwiseDecoder, rows: np.ndarray, *, known: bool = True) -> list[tuple[str, float]]:
    """Label and moment of each event of windows one second apart."""
    moments = enumerate(rows, start=1)
    events = (decoder.push(row, start_s=at - 1.0, end_s=float(at), known=known) for at, row in moments)
    return [(event.label, event.end_s) for event in events if event is not None]


def test_windows_tell_a_gesture_once_and_the_next_when_it_was_over() -> None:
    """A dip of one answer, or to more than half the threshold, does not end it; two low answers do."""
    decoder = SpanwiseDecoder((*LABELS, "nothing"), DecodingOptions(smoothing=1.0, threshold=0.8))
    shown = posterior(
        (2, 0.7, 0), (3, 0.9, 0), (1, 0, 0), (2, 0.9, 0), (4, 0.5, 0), (2, 0.9, 0), (2, 0, 0), (2, 0.9, 0)
    )
    assert told(decoder, shown) == [("wave", 3.0), ("wave", 17.0)]
    decoder.reset()
    assert told(decoder, posterior((2, 0.45, 0.45), (3, 0.1, 0.85))) == [("tap", 3.0)], "not before its label is sure"


def test_windows_of_unknown_motions_and_of_background_tell_nothing() -> None:
    decoder = SpanwiseDecoder((*LABELS, "nothing"), DecodingOptions(threshold=0.6))
    assert told(decoder, posterior((5, 0.9, 0)), known=False) == []
    assert told(decoder, posterior((5, 0.2, 0.1))) == []
    decoder.threshold = 0.2
    assert told(decoder, posterior((5, 0.25, 0.0))) == [("wave", 1.0)], "the threshold may change at any time"


def test_without_background_the_likeliest_says_how_much_is_shown() -> None:
    decoder = SpanwiseDecoder(LABELS, DecodingOptions(smoothing=1.0, threshold=0.8))
    assert told(decoder, np.array([[0.6, 0.4], [0.7, 0.3], [0.95, 0.05]])) == [("wave", 3.0)]
