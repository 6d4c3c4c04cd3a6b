"""The contest's protocol by hand-made recordings of every kind it counts; spans are frames, the last one inside."""

from __future__ import annotations

import pytest

from last_edge.clips.compose import Span
from last_edge.runtime.recognise.span_score import SpanScore

TRUTH = [Span("grab", 10, 19), Span("tap", 50, 59), Span("grab", 80, 89)]


def score(*detections: tuple[str, float, float], truth: list[Span] = TRUTH) -> SpanScore:
    made = SpanScore(step=1.0)
    made.add([Span(*detection) for detection in detections], truth, seconds=4.0)
    return made


def counts(made: SpanScore) -> tuple[int, int, int]:
    return made.correct.total(), made.misclassified.total(), made.false_positives.total()


@pytest.mark.parametrize(
    ("detection", "expected"),
    [
        (("grab", 10, 19), (1, 0, 0)),
        (("grab", 10, 15), (1, 0, 0)),  # six of ten frames
        (("grab", 10, 14), (0, 0, 1)),  # half is not more than half
        (("grab", 0, 40), (1, 0, 0)),
        (("tap", 10, 19), (0, 1, 0)),
        (("grab", 30, 40), (0, 0, 1)),
        (("none of them", 12, 18), (0, 1, 0)),
        (("grab", 40, 70), (0, 1, 0)),
        (("tap", 15, 55), (1, 0, 0)),  # half of the grab, and more than half of the tap
    ],
)
def test_a_detection_is_correct_misclassified_or_false(
    detection: tuple[str, float, float], expected: tuple[int, int, int]
) -> None:
    assert counts(score(detection)) == expected


def test_a_gesture_is_found_once_and_the_second_time_counts_as_nothing() -> None:
    assert counts(score(("grab", 10, 19), ("grab", 10, 19))) == (1, 0, 0)


def test_one_detection_over_two_gestures_finds_the_first() -> None:
    made = score(("grab", 0, 100))
    assert counts(made) == (1, 0, 0) and made.annotated.total() - made.correct.total() == 2


def test_rates_are_shares_of_what_is_annotated() -> None:
    told = score(("grab", 10, 19), ("grab", 51, 59), ("tap", 20, 30)).to_dict(fps=50)
    assert told["detection"] == pytest.approx(1 / 3, abs=1e-4)
    assert told["false_positives"] == pytest.approx(1 / 3, abs=1e-4)
    assert told["false_positives_and_misclassified"] == pytest.approx(2 / 3, abs=1e-4)
    assert told["false_per_hour"] == 1800.0


def test_the_jaccard_index_counts_overlap_over_union_and_everything_wrong_as_nothing() -> None:
    perfect = score(*[(span.label, span.start_s, span.end_s) for span in TRUTH])
    assert perfect.to_dict(fps=50)["jaccard"] == 1.0
    half = score(("tap", 50, 69))
    assert half.jaccard("tap") == pytest.approx(10 / 20) and half.jaccard("grab") == 0.0
    assert half.to_dict(fps=50)["jaccard"] == pytest.approx(0.25)
    missed = score(("grab", 10, 19))
    assert missed.jaccard("grab") == pytest.approx(1 / 2)
    wrong = score(("tap", 50, 59), ("tap", 10, 19), ("tap", 25, 30))
    assert wrong.jaccard("tap") == pytest.approx(1 / 3)


def test_the_index_of_the_contests_table_counts_gestures_and_not_their_frames() -> None:
    loose = score(("grab", 10, 15), ("tap", 45, 70), ("grab", 70, 100))
    assert loose.to_dict(fps=50)["jaccard_counts"] == 1.0 and loose.to_dict(fps=50)["jaccard"] < 0.6
    wrong = score(("tap", 50, 59), ("tap", 10, 19), ("tap", 25, 30), ("grab", 80, 89))
    assert wrong.jaccard_counts("tap") == pytest.approx(1 / 3)  # one right, one misclassified, one false
    assert wrong.jaccard_counts("grab") == pytest.approx(1 / 2)  # one of two missed
    assert wrong.to_dict(fps=50)["jaccard_counts"] == pytest.approx(5 / 12, abs=1e-4)


def test_the_delay_counts_from_the_end_of_what_was_found() -> None:
    assert score(("grab", 12, 24), ("tap", 50, 66)).to_dict(fps=50)["delay_frames"] == 6.0
    assert score(("tap", 90, 99)).to_dict(fps=50)["delay_frames"] is None
    moments = SpanScore()
    moments.add([Span("a", 1.0, 2.2)], [Span("a", 1.0, 2.0)], seconds=3.0)
    assert moments.to_dict(fps=30)["delay_frames"] == 6.0


def test_what_is_told_early_is_told_before_the_end() -> None:
    made = SpanScore(step=1.0)
    made.add([Span("grab", 10, 19)], TRUTH, decided=[30.0], told=[15.0])
    figures = made.to_dict(fps=50)
    assert (figures["told_frames"], figures["told_after_end_frames"], figures["delay_frames"]) == (5.0, -4.0, 11.0)


def test_recordings_add_up_and_classes_are_told_apart() -> None:
    made = score(("grab", 10, 19))
    made.add([Span("tap", 3, 5)], [Span("tap", 50, 59)], seconds=4.0)
    assert made.seconds == 8.0 and made.annotated == {"grab": 2, "tap": 2}
    assert made.by_class()["tap"] == {
        "annotated": 2, "detection": 0.0, "misclassified": 0, "false_positives": 1, "jaccard": 0.0,
        "jaccard_counts": 0.0,
    }  # fmt: skip


def test_nothing_annotated_and_nothing_detected_has_no_rates() -> None:
    told = SpanScore().to_dict(fps=30)
    assert set(told.values()) == {None}
