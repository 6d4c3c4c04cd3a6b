"""Figures of translations, and which grade they reach."""

from __future__ import annotations

from typing import Any

import pytest

from last_edge.tasks.metrics import coverage, repetition, translation_metrics, verdict

GOOD = {
    "loss": 3.0, "gap": 0.1, "bleu4": 20.0, "vocabulary_coverage": 40.0, "repetition_unblocked": 0.5, "distinct": 80.0,
    "reference_distinct": 90.0,
}  # fmt: skip


def test_figures_of_a_few_sentences() -> None:
    wanted = ["the red book", "the old book", "a cat sat"]
    said = ["the red book", "the red book", "the cat sat"]
    figures = translation_metrics(said, wanted)
    assert (figures["exact"], figures["distinct"], figures["reference_distinct"]) == (33.33, 66.67, 100.0)
    assert figures["wer"] == pytest.approx(100 * 2 / 9, abs=0.01)
    assert figures["word_coverage"] == pytest.approx(100 * 5 / 7, abs=0.01)  # neither "old" nor "a" was said


def test_repetition_counts_runs_of_three_words_said_before() -> None:
    assert repetition([list("abcabc")]) == 25.0  # of abc, bca, cab, abc the last one
    assert repetition([list("abcd"), list("abcd")]) == 0.0  # another sentence may say the same


def test_coverage_is_of_words_that_are_known() -> None:
    assert coverage([["a", "x", "a"]], [["a", "b"], ["b", "c", "d"]]) == 25.0


def test_a_model_with_all_bounds_held_is_excellent() -> None:
    assert verdict(GOOD) == {"tier": "excellent", "next": ""}


@pytest.mark.parametrize(
    ("change", "tier", "lacks"),
    [
        ({"distinct": 2.0}, "good", "distinct >= 45"),  # one sentence for everything
        ({"repetition_unblocked": 30.0}, "good", "repetition_unblocked <= 1"),  # only held back by the search
        ({"vocabulary_coverage": 1.0}, "minimum", "vocabulary_coverage > 2"),  # no grade leaves out one below
        ({"gap": 0.25}, "good", "gap < 0.2"),
        ({"loss": 5.0}, "none", "loss < 4.5"),
    ],
)
def test_what_keeps_a_model_from_the_next_grade(change: dict[str, Any], tier: str, lacks: str) -> None:
    reached = verdict(GOOD | change)
    assert reached["tier"] == tier and lacks in reached["next"]


def test_what_is_not_known_does_not_hold() -> None:
    assert verdict({name: value for name, value in GOOD.items() if name != "repetition_unblocked"})["tier"] == "good"
