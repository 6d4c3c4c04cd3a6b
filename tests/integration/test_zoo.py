"""The bundles that ship: whole, computing what they did when they were made, and as right as their cards say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.data.find import find_data
from last_edge.tools.cli import main

ZOO = sorted((Path(__file__).parents[2] / "zoo").iterdir())
SOURCES = {"shrec14": ("shrec17", "shrec17/SHREC2017_skeletons.tar.xz"), "utd27": ("utd_mhad", "utd_mhad/Skeleton.zip")}


@pytest.mark.parametrize("bundle", ZOO, ids=lambda path: path.name)
def test_verifies_and_runs(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle)]) == 0, capsys.readouterr()
    manifest = Bundle.open(bundle).manifest
    assert manifest.licence and {"fp32", "int8"} == set(manifest.metrics)
    events = tmp_path / "events.jsonl"
    assert main(["run", str(bundle), "--source", "synthetic", "--no-window", "--events", str(events), "--json"]) == 0
    assert json.loads(events.read_text().splitlines()[-1])["type"] == "summary"


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ZOO, ids=lambda path: path.name)
def test_every_figure_holds_on_the_data(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, file = SOURCES[bundle.name.rsplit("_", 1)[1]]
    source = find_data(file)
    if source is None:
        pytest.skip(f"fetch {file} into data/ or name its folder in LAST_EDGE_DATA")
    store = tmp_path / "store"
    assert main(["data", "prepare", name, str(source), "--out", str(store), "--quiet"]) == 0
    assert main(["verify", str(bundle), "--store", str(store)]) == 0, capsys.readouterr()
