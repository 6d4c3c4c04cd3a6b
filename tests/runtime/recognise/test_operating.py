"""A bundle's curve: which of its points is used, by whom, and what is said where there is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.bundle import rewrite_bundle
from last_edge.errors import UsageError
from last_edge.runtime.recognise.decoding import choose_point
from last_edge.runtime.recognise.stream import RecogniseOptions
from last_edge.runtime.recogniser import Recogniser
from last_edge.runtime.web.describe import describe

MakeBundle = Callable[..., Path]
CURVE = (
    {"threshold": 0.95, "energy": 4.0, "detection": 50.0, "false_per_hour": 1.5},
    {"threshold": 0.8, "energy": 2.0, "detection": 91.0, "false_per_hour": 12.0, "stated": 1.0},
    {"threshold": 0.5, "energy": -3.0, "detection": 97.0, "false_per_hour": 80.0},
)


@pytest.fixture
def bundle(make_bundle: MakeBundle) -> Path:
    path = make_bundle()
    opened = Bundle.open(path)
    rewrite_bundle(opened, dataclasses.replace(opened.manifest, operating={"segments": CURVE, "sliding": CURVE[:2]}))
    return path


@pytest.mark.parametrize(("most", "threshold"), [(None, 0.8), (6, 0.95), (12, 0.8), (1000, 0.5)])
def test_the_stated_point_or_the_one_that_finds_most_at_a_rate(most: float | None, threshold: float) -> None:
    point = choose_point({"segments": CURVE}, "segments", most_false=most)
    assert point is not None and point.threshold == threshold


def test_a_rate_below_the_curve_and_a_bundle_without_one_are_refused() -> None:
    with pytest.raises(UsageError, match="so few false events") as caught:
        choose_point({"segments": CURVE}, "segments", most_false=1)
    assert "1.5 an hour" in str(caught.value.expected)
    with pytest.raises(UsageError, match="no curve of false events for sliding"):
        choose_point({"segments": CURVE}, "sliding", most_false=100)
    assert choose_point({}, "sliding") is None


def test_a_stream_works_at_the_point_and_an_own_threshold_wins(bundle: Path) -> None:
    model = Recogniser.open(bundle)
    usual = model.stream(options=RecogniseOptions(decode="segments"))
    assert (usual.decoder.threshold, usual.rejection.least_energy) == (0.8, 2.0)
    strict = model.stream(options=RecogniseOptions(decode="segments", false_per_hour=6))
    assert (strict.decoder.threshold, strict.rejection.least_energy) == (0.95, 4.0)
    own = RecogniseOptions(decode="segments")
    own = dataclasses.replace(own, decoding=dataclasses.replace(own.decoding, threshold=0.1))
    assert model.stream(options=own).decoder.threshold == 0.1


def test_the_page_works_at_the_stated_point_of_its_decoding(bundle: Path) -> None:
    site = describe(Bundle.open(bundle), clips=(), detector=None).site
    assert (site["threshold"], site["rejection"]["energy"]) == (0.8, 2.0)
    strict = describe(Bundle.open(bundle), clips=(), detector=None, false_per_hour=6).site
    assert (strict["threshold"], strict["rejection"]["energy"]) == (0.95, 4.0)


def test_the_energy_of_the_point_refuses(bundle: Path) -> None:
    """The tiny graph's logits grow with the way that the hand goes; a short way has too little energy."""
    model = Recogniser.open(bundle)
    stream = model.stream(options=RecogniseOptions(decode="segments", false_per_hour=6))
    assert not stream.rejection.knows(np.array([-1.0, 0.0, 1.0], np.float32))
    assert stream.rejection.knows(np.array([-9.0, 0.0, 9.0], np.float32))


def test_the_card_tells_the_curve_with_the_stated_point_in_bold(bundle: Path) -> None:
    card = Bundle.open(bundle).read("card.md").decode()
    assert "## On a stream" in card
    assert "| segments | 0.8 | 2 | **91** | **12** |" in card
    assert "| segments | 0.5 | -3 | 97 | 80 |" in card
