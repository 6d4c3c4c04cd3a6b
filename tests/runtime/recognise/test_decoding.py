"""From probabilities to events: what fires, what does not, and when again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from last_edge.errors import UsageError
from last_edge.names import BACKGROUND
from last_edge.runtime.recognise.decoding import Decoder, DecodingOptions

LABELS = ("a", "b")


def fired(decoder: Decoder, probabilities_of_a: list[float], *, start: float = 0.0) -> list[tuple[str, float]]:
    """(label, moment) of each event; one prediction a tenth of a second."""
    events = []
    for step, probability in enumerate(probabilities_of_a):
        now = round(start + step / 10, 3)
        event = decoder.push(np.array([probability, 1 - probability]), start_s=now - 1, end_s=now)
        events += [(event.label, event.end_s)] if event else []
    return events


def plain(**changes: float) -> Decoder:
    options = {"smoothing": 1.0, "threshold": 0.6, "confirm": 2, "cooldown_s": 0.0} | changes
    return Decoder(LABELS, DecodingOptions(**options))  # type: ignore[arg-type]


def test_fires_once_when_confirmed_and_holds() -> None:
    assert fired(plain(), [0.9, 0.9, 0.9, 0.9]) == [("a", 0.1)]


def test_one_sure_prediction_is_not_enough() -> None:
    assert fired(plain(), [0.9, 0.5, 0.9, 0.5]) == []


def test_unsure_predictions_never_fire() -> None:
    assert fired(plain(), [0.59, 0.55, 0.59, 0.55]) == []


def test_fires_again_only_after_release() -> None:
    assert fired(plain(), [0.9, 0.9, 0.5, 0.9, 0.9]) == [("a", 0.1)]
    assert fired(plain(), [0.9, 0.9, 0.41, 0.9, 0.9]) == [("a", 0.1), ("a", 0.4)]


def test_cooldown_delays_the_second_event() -> None:
    assert fired(plain(cooldown_s=0.5), [0.9, 0.9, 0.41, 0.9, 0.9, 0.9, 0.9]) == [("a", 0.1), ("a", 0.6)]


def test_another_class_fires_at_once() -> None:
    assert fired(plain(cooldown_s=9.0), [0.9, 0.9, 0.1, 0.1]) == [("a", 0.1), ("b", 0.3)]


def test_smoothing_is_the_exponential_mean() -> None:
    decoder = plain(smoothing=0.25)
    fired(decoder, [1.0, 0.0])
    assert decoder.mean is not None
    np.testing.assert_allclose(decoder.mean, [0.75, 0.25])


def test_reset_starts_the_mean_anew() -> None:
    decoder = plain(smoothing=0.1)
    fired(decoder, [0.0])
    decoder.reset()
    fired(decoder, [1.0])
    assert decoder.mean is not None and decoder.mean[0] == 1.0


def test_options_that_do_not_fit_are_refused() -> None:
    for wrong in ({"smoothing": 0.0}, {"threshold": 1.5}, {"confirm": 0}):
        with pytest.raises(UsageError, match="decoding options"):
            DecodingOptions(**wrong)


def test_an_unknown_motion_confirms_nothing_however_sure() -> None:
    decoder = plain(threshold=0.0)
    sure = np.array([1.0, 0.0])
    assert all(decoder.push(sure, start_s=0, end_s=step / 10, known=False) is None for step in range(9))
    assert decoder.decide(sure, start_s=0, end_s=1, known=False) is None


def test_a_whole_motion_is_judged_alone() -> None:
    event = plain().decide(np.array([0.7, 0.3]), start_s=1.0, end_s=2.0)
    assert event is not None and (event.label, event.probability, event.start_s, event.end_s) == ("a", 0.7, 1.0, 2.0)
    assert plain().decide(np.array([0.55, 0.45]), start_s=1.0, end_s=2.0) is None


@pytest.mark.parametrize("name", ["nothing", "Idle", " background ", "NONE"])
def test_background_is_silence(name: str) -> None:
    decoder = Decoder(("a", name), DecodingOptions(smoothing=1.0, threshold=0.6, confirm=2, cooldown_s=0.0))
    assert fired(decoder, [0.1] * 5 + [0.9, 0.9] + [0.1] * 5) == [("a", 0.6)]
    assert decoder.decide(np.array([0.1, 0.9]), start_s=0, end_s=1) is None
    assert decoder.decide(np.array([0.9, 0.1]), start_s=0, end_s=1) is not None


def test_background_between_two_gestures_breaks_the_confirmation() -> None:
    decoder = Decoder(("a", "nothing"), DecodingOptions(smoothing=1.0, threshold=0.6, confirm=2, cooldown_s=0.0))
    assert fired(decoder, [0.9, 0.1, 0.9, 0.1, 0.9]) == []


def test_the_page_knows_the_same_words_for_background() -> None:
    script = (Path(__file__).parents[3] / "runtime" / "web" / "static" / "js" / "decoder.js").read_text()
    assert "const BACKGROUND = " + json.dumps(list(BACKGROUND)) in script


def test_a_decoder_says_why_an_answer_is_no_event() -> None:
    decoder = Decoder(("wave", "nothing"), DecodingOptions(smoothing=1.0, threshold=0.6))
    for probabilities, known, why in (
        ([0.41, 0.59], True, "nothing"),
        ([0.55, 0.45], True, "wave 55%, below 60%"),
        ([0.9, 0.1], False, "unlike what was taught"),
        ([0.9, 0.1], True, ""),
    ):
        decoder.push(np.array(probabilities), start_s=0.0, end_s=1.0, known=known)
        assert decoder.refused == why
        decoder.decide(np.array(probabilities), start_s=0.0, end_s=1.0, known=known)
        assert decoder.refused == why
    decoder.reset()
    assert decoder.refused == ""
