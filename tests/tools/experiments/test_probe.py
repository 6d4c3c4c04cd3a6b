"""The probe: a table of what a trunk is worth, on validation people, made once, and the statistics it stands on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from last_edge.clips.store import ClipStore
from last_edge.errors import InputError
from last_edge.tasks.registry import PRETRAINING
from last_edge.tools.cli import main
from last_edge.tools.experiments.compare import mcnemar, paired_difference, spread
from last_edge.tools.experiments.probe import fit_linear, linear_hits, probe_recipe
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training

SMALL = ["input.frames=16", "training.batch_size=16", "pretrain.blocks=4", "training.epochs=3"]
FAST = ["--set", "training.epochs=2", "--set", "training.batch_size=8", "--labels", "0.25,1.0", "--seeds", "0,1"]


def pretrain(store: Path, out: Path, *sets: str) -> Path:
    recipe = load_recipe("maskclr", overrides=[*SMALL, *sets])
    run_training(Request(recipe, store, out), task=PRETRAINING)
    return out


def test_a_linear_classifier_finds_what_is_linear() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 200)
    features = torch.from_numpy(np.eye(3)[labels] * 2 + random.normal(0, 0.3, (200, 3))).float() * 1000 + 5
    classifier = fit_linear(features, labels, 3)
    assert linear_hits(classifier, features, labels).mean() > 0.99
    again = fit_linear(features, labels, 3)
    assert torch.equal(classifier[1].weight, again[1].weight)


def test_paired_difference_and_its_interval() -> None:
    random = np.random.default_rng(1)
    other = random.random((3, 200)) < 0.8
    one = other | (random.random((3, 200)) < 0.5)
    got = paired_difference(one, other)
    assert got.points == pytest.approx(100 * (one.mean() - other.mean()), abs=0.01)
    assert 0 < got.low < got.points < got.high and got.clear
    nothing = paired_difference(other, other)
    assert (nothing.points, nothing.low, nothing.high, nothing.clear) == (0.0, 0.0, 0.0, False)
    with pytest.raises(InputError):
        paired_difference(one, other[:, :-1])


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    held = 0
    for number in range(100):
        other, one = random.random((1, 80)) < 0.7, random.random((1, 80)) < 0.8
        got = paired_difference(one, other, draws=300, seed=number)
        held += got.low <= 10.0 <= got.high
    assert held >= 87


def test_mcnemar_is_the_exact_binomial() -> None:
    one, other = np.zeros(20, bool), np.zeros(20, bool)
    one[:8], other[8:10] = True, True
    assert mcnemar(one, other) == pytest.approx(2 * sum(math.comb(10, k) for k in range(3)) / 2**10)
    assert mcnemar(one, one) == 1.0


def test_spread_is_over_seeds() -> None:
    hits = np.array([[True, True, False, False], [True, True, True, False]])
    got = spread(hits)
    assert (got.mean, got.least, got.greatest, got.seeds) == (62.5, 50.0, 75.0, 2)
    assert got.std == pytest.approx(np.std([50, 75], ddof=1), abs=0.01)


def test_probe_is_one_command_and_repeats_nothing(
    toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trunk = pretrain(toy_store, tmp_path / "trunk", "validation.subjects=[2]")
    command = ["probe", str(trunk), "--store", str(toy_store), "--json", *FAST]
    assert main(command) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["split"] == "val" and table["val_subjects"] == ["2"] and table["clips"] == 12
    assert [cell["labels"] for cell in table["cells"]] == [0.25, 1.0]
    assert [cell["train_clips"] for cell in table["cells"]] == [[9, 9], [36, 36]]
    for cell in table["cells"]:
        assert set(cell["ways"]) == {"probe", "probe_untrained", "finetune", "scratch"}
        tuned, scratch = (cell["ways"][way] for way in ("finetune", "scratch"))
        assert all(len(row) == 12 for row in tuned["hits"])
        assert cell["finetune_minus_scratch"]["points"] == pytest.approx(tuned["mean"] - scratch["mean"], abs=0.02)
    out = tmp_path / "trunk_probe"
    assert json.loads((out / "probe.val.json").read_text()) == table
    runs = sorted(out.glob("labels_*/*/final.json"))
    assert len(runs) == 8 and not any("test" in json.loads(run.read_text()) for run in runs)
    before = [run.stat().st_mtime_ns for run in runs]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == table
    assert [run.stat().st_mtime_ns for run in runs] == before
    assert main([*command, "--split", "test"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 24
    assert [run.stat().st_mtime_ns for run in runs] == before


def test_validation_people_are_those_that_the_trunk_never_met(toy_store: Path, tmp_path: Path) -> None:
    trunk, store = pretrain(toy_store, tmp_path / "trunk", "validation.subjects=[3]"), ClipStore.open(toy_store)
    for seed in (0, 1, 2):
        assert probe_recipe(trunk, store, load_recipe("probe", overrides=[f"seed={seed}"])).validation.subjects == ["3"]
    everybody = pretrain(toy_store, tmp_path / "all", "validation.fraction=0")
    with pytest.raises(InputError, match="held nobody out"):
        probe_recipe(everybody, store, load_recipe("probe"))


def test_dry_run_makes_nothing(toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trunk = pretrain(toy_store, tmp_path / "trunk", "validation.subjects=[2]")
    assert main(["probe", str(trunk), "--store", str(toy_store), "--dry-run", "--json", *FAST]) == 0
    assert json.loads(capsys.readouterr().out)["trainings"] == 8
    assert not (tmp_path / "trunk_probe").exists()


@pytest.mark.parametrize("labels", ["0", "1.5", "all", ""])
def test_shares_out_of_range_are_refused(labels: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "nowhere", "--store", "nowhere", "--labels", labels]) == 2
    assert "--labels" in capsys.readouterr().err
