"""A recogniser on streams whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from last_edge.errors import UsageError
from last_edge.inputs import InputSpec
from last_edge.logits import softmax
from last_edge.runtime.backends import Backend
from last_edge.runtime.recognise.adapt import Adapter
from last_edge.runtime.recognise.decoding import DecodingOptions, Event, Rejection
from last_edge.runtime.recognise.stream import RecogniseOptions, Stream, WindowStream
from last_edge.skeleton import get_layout

HAND = get_layout("mediapipe_hand21")


class Direction(Backend):
    """Class 1 when the wrist has moved to the right over the window, else class 0; keeps the shapes it saw."""

    name = "direction"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, points: np.ndarray) -> np.ndarray:
        self.shapes.append(points.shape)
        moved = float(points[0, -1, 0, 0] - points[0, 0, 0, 0])
        return np.array([[0.0, 20 * moved]], np.float32)

    @classmethod
    def why_not(cls) -> str:
        return ""

    @classmethod
    def version(cls) -> str:
        return "1"


def recogniser(backend: Direction, still: str = "still", **options: float | str) -> Stream:
    adapter = Adapter(HAND, "image01", spec=InputSpec(HAND, frames=8), target_units="image01")
    decoding = DecodingOptions(smoothing=1.0, threshold=0.8, confirm=1)
    settings = RecogniseOptions(window_s=1.0, decoding=decoding, **options)  # type: ignore[arg-type]
    return WindowStream(backend, adapter=adapter, labels=(still, "moved"), options=settings)


def play(one: Stream, wrist_x: Sequence[float | None], *, fps: float = 10) -> list[Event]:
    events = []
    for frame, x in enumerate(wrist_x):
        points = np.full((1, 21, 3), np.nan if x is None else x, np.float32)
        events += one.push(points, frame / fps)
    return events


def test_a_movement_is_one_event_with_its_time() -> None:
    one = recogniser(Direction(), stride_s=0.0)
    events = play(one, [0.0] * 10 + [0.1, 0.2, 0.3, 0.4, 0.4])
    moved = [event for event in events if event.label == "moved"]
    assert [event.end_s for event in moved] == [1.0]
    assert moved[0].start_s == 0.0 and moved[0].probability == pytest.approx(1 / (1 + np.exp(-2.0)), rel=1e-5)


def phases(events: Sequence[Event]) -> list[tuple[str, str, float]]:
    return [(event.label, event.phase, round(event.end_s, 6)) for event in events]


def test_a_gesture_is_told_as_it_begins_twice_a_second_that_it_lasts_and_as_it_ends() -> None:
    one = recogniser(Direction(), stride_s=0.0, phases=True)
    way = [0.0] * 10 + [0.1 * step for step in range(1, 13)] + [1.2] * 15
    told = [told for told in phases(play(one, way)) if told[0] == "moved"]
    assert told == [("moved", "begin", 1.0), ("moved", "hold", 1.5), ("moved", "hold", 2.0), ("moved", "hold", 2.5),
                    ("moved", "hold", 3.0), ("moved", "end", 3.1)]  # fmt: skip
    assert [event.counts for event in play(recogniser(Direction(), phases=True, stride_s=0.0), way)].count(True) == 1


def test_what_lasts_ends_with_the_hand_and_with_the_recording() -> None:
    way = [0.0] * 10 + [0.1 * step for step in range(1, 8)]
    lost = recogniser(Direction(), stride_s=0.0, phases=True)
    assert phases(play(lost, [*way, *[None] * 20]))[-1][1] == "end" and lost.finish() == []
    ended = recogniser(Direction(), stride_s=0.0, phases=True)
    assert phases(play(ended, way))[-1][1] == "hold"
    assert phases(ended.finish()) == [("moved", "end", 1.6)] and ended.finish() == []
    once = recogniser(Direction(), stride_s=0.0)
    assert [event.phase for event in [*play(once, way), *once.finish()]] == [""]


def test_spans_have_the_same_phases_and_segments_have_none() -> None:
    way = [0.0] * 10 + [0.1 * step for step in range(1, 13)] + [1.2 - 0.1 * step for step in range(12)]
    told = phases(play(recogniser(Direction(), "nothing", stride_s=0.0, phases=True, decode="spans"), way))
    kinds = [phase for label, phase, _ in told if label == "moved"]
    assert kinds[0] == "begin" and kinds[-1] == "end" and set(kinds[1:-1]) == {"hold"}
    with pytest.raises(UsageError, match="has no phases"):
        RecogniseOptions(phases=True, decode="segments")


def test_an_event_tells_where_by_which_hand_and_by_whom_it_was_made() -> None:
    one = recogniser(Direction(), stride_s=0.0)
    (event,) = [event for event in play(one, [0.0] * 10 + [0.1, 0.2, 0.3]) if event.label == "moved"]
    assert (event.x, event.y) == (pytest.approx(0.1), pytest.approx(0.1)) and (event.hand, event.person) == ("", None)
    crowd = recogniser(Direction(), stride_s=0.0)
    events = []
    for frame, x in enumerate([0.0] * 10 + [0.1, 0.2, 0.3]):
        near, far = np.full((21, 3), x, np.float32), np.full((21, 3), 5.0, np.float32)
        near[0] -= 0.4  # the larger of the two
        events += crowd.push(np.stack([far, near]), frame / 10, seen="right")
    (event,) = [event for event in events if event.label == "moved"]
    assert (event.hand, event.person, event.x) == ("right", 1, pytest.approx(0.1))


def test_predicts_once_a_stride_on_the_models_window() -> None:
    backend = Direction()
    play(recogniser(backend, stride_s=0.5), [0.0] * 21)
    assert backend.shapes == [(1, 8, 21, 3)] * 4


def test_nothing_is_predicted_from_nothing_or_too_little() -> None:
    backend = Direction()
    one = recogniser(backend, stride_s=0.0)
    assert play(one, [None] * 20 + [0.5] * 4) == [] and backend.shapes == []
    assert one.current is None


def test_a_gap_without_points_ends_the_prediction() -> None:
    before, after = (recogniser(Direction(), stride_s=0.0) for _ in range(2))
    play(before, [0.0] * 8 + [None] * 5)
    assert before.current is not None
    play(after, [0.0] * 8 + [None] * 6)
    assert after.current is None


def test_start_clip_forgets_the_motion_before() -> None:
    backend = Direction()
    one = recogniser(backend, stride_s=0.0)
    play(one, [0.0] * 8)
    one.start_clip()
    seen = len(backend.shapes)
    play(one, [0.0] * 4)
    assert len(backend.shapes) == seen


def test_whole_clip_prediction_names_its_span_and_best_classes() -> None:
    points = np.zeros((1, 6, 21, 3), np.float32)
    points[0, :, 0, 0] = np.linspace(0, 1, 6)
    prediction = recogniser(Direction()).predict(points, np.arange(6) / 10 + 3)
    assert (prediction.start_s, prediction.end_s) == (3.0, 3.5)
    assert [guess.label for guess in prediction.top] == ["moved", "still"]
    assert prediction.milliseconds["recognise"] > 0


def test_softmax_of_large_logits_is_finite() -> None:
    np.testing.assert_allclose(softmax(np.array([1000.0, 1000.0], np.float32)), [0.5, 0.5])


def test_window_options_must_fit() -> None:
    with pytest.raises(UsageError, match="window options"):
        RecogniseOptions(window_s=0.1)


def test_segments_give_one_event_for_a_motion_once_the_body_rests() -> None:
    one = recogniser(Direction(), decode="segments")  # type: ignore[arg-type]
    events = play(one, [0.0] * 30 + [0.02 * step for step in range(30)] + [0.58] * 60, fps=30)
    assert [event.label for event in events] == ["moved"]
    assert events[0].start_s == pytest.approx(1.0, abs=0.3) and 3.3 < events[0].end_s < 3.7
    assert one.current is not None and one.current.end_s < events[0].end_s


def test_what_the_energy_refuses_is_predicted_but_no_event() -> None:
    for reject, expected in ((True, []), (False, ["moved"])):
        one = recogniser(Direction(), stride_s=0.0, reject=reject)  # type: ignore[arg-type]
        one.use(Direction(), Rejection(least_energy=1e3))
        events = play(one, [0.0] * 10 + [0.1, 0.2, 0.3, 0.4, 0.4])
        assert [event.label for event in events if event.label == "moved"] == expected
        assert one.current is not None and one.current.best.label == "moved"
