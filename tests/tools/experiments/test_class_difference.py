"""Two ways of training compared by the mean over classes, however many clips each class has."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.errors import InputError
from last_edge.tools.experiments.compare import by_class, class_difference, paired_difference, spread

LABELS = np.array([0] * 9 + [1])
COMMON = np.array([[True] * 9 + [False]] * 2)
RARE = np.array([[True] * 8 + [False, True]] * 2)


def test_a_rare_class_counts_as_much_as_a_common_one() -> None:
    np.testing.assert_allclose(by_class(RARE, LABELS), [[8 / 9, 1.0]] * 2)
    assert paired_difference(RARE, COMMON).points == 0
    assert class_difference(RARE, COMMON, LABELS).points == pytest.approx(100 * (1 - 1 / 9) / 2, abs=0.01)
    assert spread(by_class(COMMON, LABELS)).mean == 50


def test_the_interval_is_over_classes() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(200), 3)
    worse = random.random((3, 600)) < 0.5
    better = worse | (random.random((3, 600)) < 0.1)
    found = class_difference(better, worse, labels, draws=2000)
    assert found.clear and 0 < found.low < found.points < found.high < 10
    assert not class_difference(worse, worse, labels, draws=100).clear


def test_other_clips_cannot_be_paired() -> None:
    with pytest.raises(InputError, match="paired"):
        class_difference(RARE, COMMON[:, 1:], LABELS)
