"""Real data for the tests of this folder, skipped with a word on what to fetch when absent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from last_edge.data.find import VARIABLE, find_data


@pytest.fixture
def real() -> Callable[[str], Path]:
    """`real("shrec17")` is the place of a dataset; the test is skipped when it is not on this machine."""

    def find(name: str) -> Path:
        path = find_data(name)
        if path is None:
            pytest.skip(f"real data {name!r} not found: put it under data/ or set {VARIABLE}")
        return path

    return find
