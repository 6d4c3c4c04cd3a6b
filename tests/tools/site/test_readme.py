"""README is short, and its figures are those in the bundles' manifests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.manifest import model_file

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
ROWS = re.findall(r"^\|[^|]*`(\w+)` \| ([\d.]+) \| ([\d.]+) \| (\d+) kB \|$", README, flags=re.MULTILINE)


def test_it_is_read_in_a_minute() -> None:
    assert len(README.splitlines()) < 100


def test_every_bundle_of_the_zoo_has_its_row() -> None:
    assert sorted(name for name, *_ in ROWS) == sorted(path.name for path in (ROOT / "zoo").iterdir() if path.is_dir())


@pytest.mark.parametrize(("name", "fp32", "int8", "kilobytes"), ROWS)
def test_figures_are_those_of_the_manifest(name: str, fp32: str, int8: str, kilobytes: str) -> None:
    bundle = Bundle.open(ROOT / "zoo" / name)
    metrics = bundle.manifest.metrics
    assert (metrics["fp32"]["top1"], metrics["int8"]["top1"]) == (float(fp32), float(int8))
    assert round(len(bundle.read(model_file("int8"))) / 1000) == int(kilobytes)
