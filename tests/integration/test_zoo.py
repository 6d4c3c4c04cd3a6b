"""The bundles that ship: whole, computing what they did when they were made, and as right as their cards say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.tools.cli import main

ZOO = sorted((Path(__file__).parents[2] / "zoo").iterdir())
SHREC = "prepare shrec17 {shrec17}"
WEBCAM = Path(__file__).parents[2] / "train" / "recipes" / "streams" / "hands.labels.json"
PEOPLE = "s064,s089,s121,s150,s151,s157,s164"
STORES = {
    "_shrec14": [f"{SHREC} --out store"],
    "_shrec28": [f"{SHREC} --labels 28 --out store"],
    "_live14": [f"{SHREC} --out clips", "background clips --count 300 --between 400 --signing 300 --out store"],
    "_utd27": ["prepare utd_mhad {utd_mhad} --out store"],
    "_shrec21": ["prepare shrec21 {shrec21} --out store"],
    "pose_stream": ["prepare pose_streams {webcam/streams} --leave-out wue_c/a,wue_c/b,wue_d/a --out store"],
    "hands_stream": [
        "prepare shrec21 {shrec21} --out shrec21",
        f"{SHREC} --out shrec17_clips",
        "recordings shrec17_clips --least-idle 1 --most-idle 2 --made 0.3 --moving 0.4 --out shrec17",
        f"prepare holistic_words {{webcam/signs_shared.npz}} --subjects {PEOPLE} --out words",
        *(
            command
            for side in ("left", "right")
            for command in (
                f"convert words --layout mediapipe_hand21 --hand {side} --out words_{side}",
                f"recordings words_{side} --least-idle 1 --most-idle 1.5 --made 0 --out signs_{side}",
            )
        ),
        "join shrec21 shrec17 signs_left signs_right --layout mediapipe_hand21 --upright --labels "
        f"{WEBCAM} --out store",
    ],
}
"""By the end of a bundle's name the commands of `last-edge data` that make what it was measured on, in one folder."""


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
    assert main(["thresholds", name]) == 0
    assert main(["train", "--finetune", name, "--store", str(tmp_path), "--out", str(tmp_path / "run")]) == 3
    written = capsys.readouterr()
    assert "no classifier of clips" in written.err and "train --init" in written.err
    assert "fit-spans" in written.out and "last-edge thresholds BUNDLE" not in written.out


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ZOO, ids=lambda path: path.name)
def test_every_figure_holds_on_the_data(
    bundle: Path,
    tmp_path: Path,
    real: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in next(made for ending, made in STORES.items() if bundle.name.endswith(ending)):
        words = [str(real(word[1:-1])) if word.startswith("{") else word for word in command.split()]
        assert main(["data", *words]) == 0
    assert main(["verify", str(bundle), "--store", "store"]) == 0, capsys.readouterr()
