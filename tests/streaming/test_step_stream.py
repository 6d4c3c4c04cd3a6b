"""A stream bundle behind the usual calls: frames of any rate, a state a person, a new start where the hand was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import last_edge
from last_edge.bundle import Bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import held_still
from last_edge.errors import UsageError
from last_edge.logits import softmax
from last_edge.runtime.recognise.decoding import DecodingOptions, Event
from last_edge.runtime.recognise.model import open_stepper
from last_edge.runtime.recognise.spans import SpanEvent, events_of
from last_edge.runtime.recognise.step_stream import StepStream, Ticks
from last_edge.runtime.recognise.stream import RecogniseOptions, Stream
from last_edge.runtime.recogniser import Recogniser
from tests.streaming.conftest import LABELS, hand

PLAIN = RecogniseOptions(decoding=DecodingOptions(smoothing=1.0, threshold=0.3, confirm=1))


@pytest.fixture(scope="module")
def recogniser(bundle_path: Path) -> Recogniser:
    loaded = last_edge.load(bundle_path)
    assert isinstance(loaded, Recogniser)
    return loaded


def tops(stream: Stream, points: NDArray[np.float32], times: NDArray[np.float64]) -> list[tuple[str, float] | None]:
    """The likeliest class after each frame and its probability."""
    found = []
    for frame, time_s in zip(points, times, strict=True):
        stream.push(frame, float(time_s))
        best = stream.current.best if stream.current else None
        found.append(None if best is None else (best.label, round(best.probability, 4)))
    return found


def test_frames_at_the_models_rate_are_its_steps(recogniser: Recogniser, bundle: Bundle) -> None:
    points = hand(80, seed=3, gone=False)
    stream = recogniser.stream(options=PLAIN)
    assert isinstance(stream, StepStream) and recogniser.rate == 25
    got = tops(stream, points, np.arange(80) / 25)
    logits, _ = open_stepper(bundle, bundle.graph("fp32")).sequences(points[None])
    exponents = np.exp(logits[0].astype(np.float64))
    expected = exponents / exponents.sum(1, keepdims=True)
    assert [label for label, _ in got if label] == [LABELS[best] for best in expected.argmax(1)]
    np.testing.assert_allclose([share for _, share in got], expected.max(1), atol=1e-3)


def test_each_person_has_a_state_of_its_own(recogniser: Recogniser) -> None:
    times, one, other = np.arange(60) / 25, hand(60, seed=1), hand(60, seed=2)
    alone = tops(recogniser.stream(options=PLAIN), one, times)
    first, second = recogniser.stream(options=PLAIN), recogniser.stream(options=PLAIN)
    together = []
    for number, time_s in enumerate(times):
        together += tops(first, one[number : number + 1], times[number : number + 1])
        second.push(other[number], float(time_s))
    assert together == alone


def test_a_new_recording_begins_anew(recogniser: Recogniser) -> None:
    times, points = np.arange(60) / 25, hand(60, seed=1)
    stream = recogniser.stream(options=PLAIN)
    tops(stream, hand(60, seed=2), times)
    stream.start_clip()
    assert stream.current is None
    assert tops(stream, points, times) == tops(recogniser.stream(options=PLAIN), points, times)


@pytest.mark.parametrize("unseen", [True, False], ids=["frames without a hand", "no frames"])
def test_a_hand_that_was_lost_begins_anew(recogniser: Recogniser, unseen: bool) -> None:
    points, gap = hand(60, seed=1, gone=False), np.full((20, 20, 3), np.nan, np.float32)
    stream, times = recogniser.stream(options=PLAIN), np.arange(60) / 25
    tops(stream, hand(30, seed=2, gone=False), times[:30])
    if unseen:
        shown = tops(stream, gap, times[30:50])
        assert shown[0] is not None and shown[-1] is None
    later = tops(stream, points, times + 10.0)
    assert [row and row[0] for row in later] == [
        row and row[0] for row in tops(recogniser.stream(options=PLAIN), points, times)
    ]


def test_a_state_goes_on_over_a_short_gap(recogniser: Recogniser) -> None:
    points, times = hand(60, seed=1, gone=False), np.arange(60) / 25
    points[30:35] = np.nan
    whole = tops(recogniser.stream(options=PLAIN), points, times)
    fresh = recogniser.stream(options=PLAIN)
    assert None not in whole and whole[35:40] != tops(fresh, points[35:40], times[35:40])


def test_a_slower_or_faster_source_is_resampled(recogniser: Recogniser) -> None:
    """A motion that is even in time is the same motion, however many frames show it."""
    start, way = hand(1, seed=5, gone=False)[0], np.array([0.4, 0.1, 0.0], np.float32)

    def at(times: NDArray[np.float64]) -> NDArray[np.float32]:
        return (start + way * times[:, None, None]).astype(np.float32)

    own = np.arange(101) / 25
    expected = tops(recogniser.stream(options=PLAIN), at(own), own)[-1]
    for fps in (12.5, 30, 60):
        times = np.arange(int(4 * fps) + 1) / fps
        got = tops(recogniser.stream(options=PLAIN), at(times), times)[-1]
        assert expected is not None and got is not None
        assert got[0] == expected[0] and got[1] == pytest.approx(expected[1], abs=1e-3)


def test_a_clip_is_predicted_as_a_whole(recogniser: Recogniser) -> None:
    prediction = recogniser.predict(hand(90, seed=7), fps=30)
    assert len(prediction.top) == 3 and 0 < prediction.best.probability <= 1


def test_events_begin_when_the_model_says(recogniser: Recogniser) -> None:
    stream = recogniser.stream(options=PLAIN)
    events = [event for number, frame in enumerate(hand(400, seed=4)) for event in stream.push(frame, number / 25)]
    assert events and all(event.label != "background" and event.start_s <= event.end_s for event in events)


def played(stream: Stream, points: NDArray[np.float32], times: NDArray[np.float64]) -> list[Event]:
    return [event for frame, time_s in zip(points, times.tolist(), strict=True) for event in stream.push(frame, time_s)]


def rows(events: Sequence[Event | SpanEvent]) -> list[tuple[str, float, float]]:
    """Label, beginning and the moment of the decision."""
    moments = [event.end_s if isinstance(event, Event) else event.decided_s for event in events]
    found = zip(events, moments, strict=True)
    return [(event.label, round(event.start_s, 3), round(moment, 3)) for event, moment in found]


def test_a_recording_played_live_gives_the_events_of_eval(ruled_path: Path) -> None:
    """What is shown when a recording ends included, and what the last frames say, whose answers come later."""
    points, model, ended = hand(300, seed=4, gone=False), Recogniser.open(ruled_path), 0
    opened = Bundle.open(ruled_path)
    stepper, stream = open_stepper(opened, opened.graph("fp32")), model.stream()
    assert isinstance(stream, StepStream) and model.rules is not None
    for last in range(240, 300, 6):
        shown = points[:last]
        live = played(stream, shown, np.arange(last) / 25)
        closing = stream.finish()
        logits, elapsed, state = [], [], stepper.start()
        for frame in held_still(shown, 2):
            answer, state = stepper.step(frame[None], state)
            logits.append(answer.logits[0])
            elapsed.append(float(answer.elapsed[0]))
        expected = events_of(model.rules, softmax(np.stack(logits[2:])), np.array(elapsed[2:]), 2 / 25)
        assert rows(live + closing) == rows(expected) and expected
        ended += len(closing)
        assert all(event.x is not None for event in closing), "told where it was made, as other events are"
        assert stream.finish() == []
        stream.start_clip()
    assert ended > 2


def test_what_is_shown_when_the_hand_is_lost_is_an_event(ruled_path: Path) -> None:
    points, times, ended = hand(300, seed=4, gone=False), np.arange(300) / 25, 0
    for last in range(240, 300, 6):
        stream = Recogniser.open(ruled_path).stream()
        played(stream, points[:last], times[:last])
        ended += len(played(stream, points[:1], times[last - 1 : last] + 5.0))
    assert ended > 2


def test_early_events_come_once_and_sooner(ruled_path: Path) -> None:
    points, times, model = hand(400, seed=4), np.arange(400) / 25, Recogniser.open(ruled_path)
    stream = model.stream()
    usual = played(stream, points, times) + stream.finish()
    stream = model.stream(options=RecogniseOptions(early=True))
    early = played(stream, points, times) + stream.finish()
    assert len(early) == len(usual) and early[0].start_s <= usual[0].end_s
    assert all(one.end_s <= other.end_s for one, other in zip(early, usual, strict=True))
    assert sum(other.end_s - one.end_s for one, other in zip(early, usual, strict=True)) > 1


def test_early_events_need_rules_that_say_how_often_they_are_wrong(recogniser: Recogniser) -> None:
    with pytest.raises(UsageError, match="how often early answers are wrong"):
        recogniser.stream(options=RecogniseOptions(early=True))


def test_watch_ends_what_each_recording_still_shows(ruled_path: Path, store: ClipStore) -> None:
    """As `Stream.finish`, for every recording that a source plays, the last one too; a source's time goes on."""
    model, expected, ended = Recogniser.open(ruled_path), list[Event](), 0
    for clip in store.recordings():
        stream, points = model.stream(), store.points(int(clip))
        expected += [event for frame in range(600) for event in stream.push(points[:, frame], frame / 50)]
        ended += len(closing := stream.finish())
        expected += closing
    got = list(model.watch(f"store:{store.path}"))
    assert [event.label for event in got] == [event.label for event in expected] and ended > 2
    lengths = ([event.end_s - event.start_s for event in events] for events in (got, expected))
    np.testing.assert_allclose(*lengths, atol=1e-3)


def test_there_is_nothing_to_cut(recogniser: Recogniser) -> None:
    with pytest.raises(UsageError, match="answers at every frame"):
        recogniser.stream(options=replace(PLAIN, decode="segments"))


def test_another_backend_is_refused(bundle_path: Path) -> None:
    with pytest.raises(UsageError, match="openvino runs no streams"):
        Recogniser.open(bundle_path, backend="openvino")


@pytest.mark.parametrize(("fps", "count"), [(25, 51), (50, 51), (12.5, 51), (30, 51)])
def test_ticks_are_even_whatever_the_source(fps: float, count: int) -> None:
    ticks, found = Ticks(25), []
    for number in range(int(2 * fps) + 1):
        time_s = number / fps
        points = np.full((1, 1, 1), time_s, np.float32)
        found += [(float(tick[0, 0, 0]), moment) for tick, moment in ticks.push(points, time_s)]
    assert len(found) == count
    np.testing.assert_allclose([moment for _, moment in found], np.arange(count) / 25)
    np.testing.assert_allclose([place for place, _ in found], np.arange(count) / 25, atol=1e-6)


def test_a_point_between_a_seen_and_an_unseen_frame_is_the_nearer_ones() -> None:
    ticks, nan = Ticks(4), np.nan
    ticks.push(np.array([[[1.0]]], np.float32), 0.0)
    found = ticks.push(np.array([[[nan]]], np.float32), 1.0)
    assert [float(tick[0, 0, 0]) for tick, _ in found] == pytest.approx([1.0, nan, nan, nan], nan_ok=True)
