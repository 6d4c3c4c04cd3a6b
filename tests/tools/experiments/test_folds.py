"""`last-edge folds`: everybody is left out once, the figures are those of `eval`, a second call trains nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from last_edge import records
from last_edge.clips.store import ClipStore
from last_edge.errors import UsageError
from last_edge.files import sha256_of
from last_edge.tools.cli import main
from last_edge.tools.experiments.folds import Folds, summary, train_folds
from last_edge.train.checkpoint import WEIGHTS, load_checkpoint
from last_edge.train.evaluate import evaluate_run
from last_edge.train.recipe import load_recipe
from last_edge.train.request import silent

SMALL = ["input.frames=8", "training.batch_size=16", "training.epochs=1", "validation.fraction=0"]


def wanted(store: Path, out: Path, **options: object) -> Folds:
    recipe = load_recipe(None, overrides=[*SMALL, "model.name=last_lite_nano"])
    return Folds(recipe, store, out, **options)  # type: ignore[arg-type]


def test_each_row_is_what_eval_says_of_the_one_left_out(
    toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [part for text in SMALL for part in ("--set", text)]
    command = ["folds", "--model", "last_lite_nano", "--store", str(toy_store), "--out", str(tmp_path / "folds")]
    assert main([*command, "--subjects", "1,2", "--seeds", "3,4", *sets, "--threads", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["subject"] for row in result["rows"]] == ["1", "2"]
    for row in result["rows"]:
        fold = tmp_path / "folds" / row["subject"]
        store = ClipStore.open(fold / "store")
        assert row["each"] == [evaluate_run(fold / f"seed_{seed}", store)["top1"] for seed in (3, 4)]
        assert row["top1"] == pytest.approx(sum(row["each"]) / 2, abs=0.006) and row["clips"] == 12
    assert result["summary"] == summary(result["rows"])
    assert f"{result['summary']['mean']:.2f} ±" in (tmp_path / "folds" / "folds.md").read_text()
    again = train_folds(wanted(toy_store, tmp_path / "folds", subjects=("1", "2"), seeds=(3, 4)), report=refuse)
    assert again == result["rows"]


def refuse(title: str) -> object:
    """A report that a finished run never calls."""

    def report(row: object, epochs: int) -> None:
        raise AssertionError(f"{title} trained again")

    return report


def test_pairs_tell_of_the_other_one(toy_store: Path, tmp_path: Path) -> None:
    folds = wanted(toy_store, tmp_path, subjects=("1", "2", "3"), pairs=1)
    assert folds.folds == [("1", "2"), ("1", "3"), ("2", "3")]
    rows = train_folds(folds, report=lambda title: lambda row, epochs: None)
    first = rows[0]
    finals = {pair: json.loads((tmp_path / pair / "seed_42" / "final.json").read_text()) for pair in ("1_2", "1_3")}
    assert first["each"] == {
        "2": [finals["1_2"]["test"]["per_subject"]["2"]],
        "3": [finals["1_3"]["test"]["per_subject"]["3"]],
    }
    assert first["clips"] == 24


def test_a_circle_of_six_has_six_pairs_of_neighbours(toy_store: Path, tmp_path: Path) -> None:
    pairs = wanted(toy_store, tmp_path, pairs=1).folds
    assert len(pairs) == 6 and all(sum(name in pair for pair in pairs) == 2 for name in "123456")
    assert len(wanted(toy_store, tmp_path, pairs=9).folds) == 15


def test_groups_share_people_and_labels_and_every_clip_is_tested_once(
    toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [part for text in SMALL for part in ("--set", text)]
    command = ["folds", "--model", "last_lite_nano", "--store", str(toy_store), "--out", str(tmp_path / "g")]
    assert main([*command, "--groups", "3", *sets, "--threads", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    groups = wanted(toy_store, tmp_path / "g", groups=3).folds
    assert sorted(name for group in groups for name in group) == list("123456") and {len(g) for g in groups} == {2}
    assert [row["subject"] for row in result["rows"]] == ["group_1", "group_2", "group_3"]
    pooled, store = result["pooled"], ClipStore.open(toy_store)
    assert pooled["n"] == len(store) and sum(row["clips"] for row in result["rows"]) == len(store)
    assert pooled["top1"] == pytest.approx(sum(row["top1"] for row in result["rows"]) / 3, abs=0.02)
    assert set(pooled["people"]) == set("123456") and set(pooled["classes"]) == set(store.labels)
    with pytest.raises(UsageError, match="dealt"):
        _ = wanted(toy_store, tmp_path, groups=7).folds
    with pytest.raises(UsageError, match="dealt"):
        _ = wanted(toy_store, tmp_path, groups=2, pairs=1).folds


def test_students_learn_from_whoever_left_the_same_person_out(
    toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teachers = train_folds(wanted(toy_store, tmp_path / "teachers", subjects=("1", "2")), report=lambda title: silent)
    sets = [part for text in SMALL for part in ("--set", text)]
    command = ["folds", "--model", "last_lite_nano", "--recipe", "kd_small", "--store", str(toy_store)]
    command += ["--out", str(tmp_path / "students"), "--teacher", str(tmp_path / "teachers"), *sets, "--quiet"]
    assert main([*command, "--subjects", "1,2"]) == 0 and len(teachers) == 2
    helped = [records.read_json(tmp_path / f"students/{name}/seed_42/final.json")["beyond_recipe"] for name in "12"]
    weights = [tmp_path / f"teachers/{name}/seed_42" for name in "12"]
    assert helped == [[f"teacher {sha256_of(load_checkpoint(run).path / WEIGHTS)}"] for run in weights]
    capsys.readouterr()
    assert main([*command, "--subjects", "1,3"]) == 3
    assert "no teacher for this fold" in capsys.readouterr().err


def test_unknown_subjects_are_named(toy_store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody"):
        _ = wanted(toy_store, tmp_path, subjects=("nobody",)).tested
