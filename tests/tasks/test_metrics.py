"""Metrics against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.errors import UsageError
from last_edge.tasks.metrics import calibration_error, classification_metrics, confusion, merged, ranks, top_k

LOGITS = np.array([[3, 2, 1, 0], [0, 3, 2, 1], [1, 0, 3, 2], [2, 1, 0, 3]], np.float32)
LABELS = np.array([0, 2, 3, 1])


def test_top_k_by_hand() -> None:
    assert ranks(LOGITS, LABELS).tolist() == [0, 1, 1, 2]
    assert [top_k(LOGITS, LABELS, k) for k in (1, 2, 3)] == [25.0, 75.0, 100.0]


def test_a_constant_or_broken_output_is_not_a_hit() -> None:
    assert top_k(np.zeros((4, 4), np.float32), LABELS, 1) == 0.0
    assert top_k(np.full((4, 4), np.nan, np.float32), LABELS, 3) == 0.0


def test_confusion_counts_rows_by_truth() -> None:
    table = confusion(LOGITS, LABELS)
    assert table[0, 0] == 1
    assert table[2, 1] == 1
    assert table.sum() == 4


def test_calibration_error_of_certain_answers() -> None:
    certain = np.where(np.eye(4, dtype=bool), 50.0, 0.0).astype(np.float32)
    assert calibration_error(certain, np.arange(4)) == 0.0
    assert calibration_error(certain, np.array([1, 2, 3, 0])) == pytest.approx(100.0)
    assert calibration_error(certain, np.array([0, 1, 3, 2])) == pytest.approx(50.0)


def test_per_subject_and_per_class() -> None:
    got = classification_metrics(LOGITS, LABELS, subjects=["a", "a", "b", "b"], label_names=list("wxyz"))
    assert got["per_subject"] == {"a": 50.0, "b": 0.0}
    assert got["per_class"] == {"w": 100.0, "x": 0.0, "y": 0.0, "z": 0.0}
    assert (got["top1"], got["n"], got["mean_class"]) == (25.0, 4, 25.0)


def test_merged_classes_add_their_probabilities() -> None:
    logits = np.log(np.asarray([[0.3, 0.3, 0.4], [0.1, 0.2, 0.7]], np.float32))
    names = ("grab, one finger", "grab, whole hand", "tap")
    coarse, labels, kept = merged(logits, np.asarray([1, 2]), names, at=", ")
    np.testing.assert_allclose(np.exp(coarse), [[0.6, 0.4], [0.3, 0.7]], rtol=1e-5)
    assert labels.tolist() == [0, 1] and kept == ("grab", "tap")
    with pytest.raises(UsageError, match="no two labels agree"):
        merged(logits, np.asarray([1, 2]), ("a", "b", "c"), at=", ")
