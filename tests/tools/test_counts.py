"""The counts that are kept are those that are counted."""

from __future__ import annotations

import pytest

from last_edge.models.describe import describe_models
from last_edge.skeleton.layout import layout_names
from last_edge.tools.counts import kept_counts


@pytest.mark.parametrize(
    ("layout", "classes"),
    [("shrec22", 14), *(pytest.param(name, 100, marks=pytest.mark.slow) for name in layout_names())],
)
def test_kept_counts_are_what_is_counted(layout: str, classes: int) -> None:
    assert kept_counts(layout, classes) == describe_models(layout=layout, classes=classes)


def test_every_shipped_layout_is_kept_and_no_other() -> None:
    assert all(kept_counts(name, 60) for name in layout_names())
    assert kept_counts("glove.json", 60) is None
