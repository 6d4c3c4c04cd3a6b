"""README is short, and names every bundle with the size of its file; `test_anchors` holds its accuracies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.manifest import model_file
from last_edge.tools.report.anchors import stated

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
SIZES = re.findall(r"^\|[^|]*`(\w+)` \|.* (\d+) kB \|$", README, flags=re.MULTILINE)


def test_it_is_read_in_a_minute() -> None:
    assert len(README.splitlines()) < 100


def test_every_bundle_of_the_zoo_has_its_row() -> None:
    assert (
        sorted(name for name, _ in SIZES)
        == sorted(stated(README))
        == sorted(path.name for path in (ROOT / "zoo").iterdir() if path.is_dir())
    )


@pytest.mark.parametrize(("name", "kilobytes"), SIZES)
def test_sizes_are_those_of_the_files(name: str, kilobytes: str) -> None:
    assert round(len(Bundle.open(ROOT / "zoo" / name).read(model_file("int8"))) / 1000) == int(kilobytes)
