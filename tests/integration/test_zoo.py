"""The bundles that ship: whole, computing what they did when they were made, and as right as their cards say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.tools.cli import main

ZOO = sorted((Path(__file__).parents[2] / "zoo").iterdir())
SHREC = ["prepare", "shrec17"]
STORES = {
    "shrec14": [SHREC],
    "shrec28": [[*SHREC, "--labels", "28"]],
    "live14": [SHREC, ["background", "--count", "300", "--between", "400"]],
    "utd27": [["prepare", "utd_mhad"]],
    "shrec21": [["prepare", "shrec21"]],
}
"""By the end of a bundle's name the commands of `last-edge data` that make what it was measured on."""


@pytest.mark.parametrize("bundle", ZOO, ids=lambda path: path.name)
def test_verifies_and_runs(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle)]) == 0, capsys.readouterr()
    manifest = Bundle.open(bundle).manifest
    assert manifest.licence and {"fp32", "int8"} == set(manifest.metrics)
    events = tmp_path / "events.jsonl"
    assert main(["run", str(bundle), "--source", "synthetic", "--no-window", "--events", str(events), "--json"]) == 0
    assert json.loads(events.read_text().splitlines()[-1])["type"] == "summary"


def test_what_a_network_for_streams_lacks_is_not_promised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "last_lite_stream_nano_shrec21"
    assert main(["run", name, "--source", "samples", "--no-window"]) == 3
    assert main(["thresholds", name]) == 0
    assert main(["train", "--finetune", name, "--store", str(tmp_path), "--out", str(tmp_path / "run")]) == 3
    written = capsys.readouterr()
    assert "--source store:STORE" in written.err and "trained from the beginning" in written.err
    assert "fit-spans" in written.out and "last-edge thresholds BUNDLE" not in written.out


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ZOO, ids=lambda path: path.name)
def test_every_figure_holds_on_the_data(
    bundle: Path, tmp_path: Path, real: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source = ""
    for number, (command, *words) in enumerate(STORES[bundle.name.rsplit("_", 1)[1]]):
        name, *words = words if command == "prepare" else ["", *words]
        source, made = source or str(real(name)), str(tmp_path / f"store{number}")
        assert main(["data", command, *filter(None, [name]), source, "--out", made, "--quiet", *words]) == 0
        source = made
    assert main(["verify", str(bundle), "--store", source]) == 0, capsys.readouterr()
