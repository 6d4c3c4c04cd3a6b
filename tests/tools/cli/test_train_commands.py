"""The training commands as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from last_edge.tasks.config import TrainingConfig, settings
from last_edge.tools.cli import main

BUNDLE = str(Path(__file__).parents[3] / "zoo" / "last_lite_nano_shrec14")
FAST = ["--set", "training.epochs=1", "--set", "training.batch_size=8", "--set", "input.frames=16"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_train_then_eval(toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    code, stdout, _ = run(capsys, "train", "--store", str(toy_store), "--out", str(out), "--json", *FAST)
    final = json.loads(stdout)
    assert code == 0 and final["test"]["n"] == 24
    code, stdout, _ = run(capsys, "eval", str(out), "--store", str(toy_store), "--json")
    assert code == 0 and json.loads(stdout)["top1"] == final["test"]["top1"]
    code, _, stderr = run(capsys, "eval", str(out), "--store", str(toy_store), "--split", "nosuch")
    assert code == 3 and "nosuch" in stderr


def test_flags_yield_to_set(toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", "last_lite_nano", "--seed", "3", "--set", "seed=9", "--dry-run", "--json"]
    code, stdout, _ = run(capsys, "train", "--store", str(toy_store), "--out", str(tmp_path / "r"), *arguments)
    preview = json.loads(stdout)
    assert code == 0 and "seed: 9" in preview["recipe"] and "last_lite_nano" in preview["recipe"]
    assert len(preview["lr"]) == 90 and preview["clips"]["test"] == 24
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["train", "--store", "nowhere", "--out", "x"], 3, "nowhere"),
        (["train", "--store", "nowhere", "--out", "x", "--set", "training.lrr=1"], 2, "lr"),
        (["train", "--store", "nowhere", "--out", "x", "--device", "tpu"], 2, "tpu"),
        (["train", "--out", "x"], 2, "--store"),
        (["train", "--store", "nowhere", "--finetune", "nowhere", "--init", "nowhere"], 2, "--init"),
        (["eval", "nowhere", "--store", "nowhere"], 3, "nowhere"),
        (["eval", "nowhere", "--store", "nowhere", "--subject", "anna"], 2, "--stream"),
        (["eval", "nowhere", "--store", "nowhere", "--stream", "--merge-at", ","], 2, "--merge-at"),
        (["data", "prepare", "shrec17", "nowhere", "--out", "x"], 3, "data prepare --help"),
        (["run", BUNDLE, "--source", "nowhere.mp4", "--no-window"], 3, "run --help"),
        (["recipes", "show", "shrec71"], 2, "shrec17"),
        (["nosuch"], 2, "nosuch"),
    ],
)
def test_faults_have_their_exit_code_and_no_traceback(
    arguments: list[str], code: int, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    got, stdout, stderr = run(capsys, *arguments)
    assert (got, stdout) == (code, "")
    assert named in stderr and "Traceback" not in stderr


def test_models_lists_counts(capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = run(capsys, "models", "--json")
    rows = {row["name"]: row for row in json.loads(stdout)}
    assert code == 0 and rows["last_lite_nano"]["params"] == 65_654
    assert {"name", "params", "inference_params", "gflops", "streamable"} <= set(rows["last_e_nano"])


def test_recipes_show_resolves(capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = run(capsys, "recipes", "show", "shrec17", "--set", "training.lr=0.5")
    assert code == 0 and "lr: 0.5" in stdout and "ema_decay: 0.998" in stdout


TRAININGS = ("train", "distill", "pretrain maskclr", "folds", "ablate", "probe")


@pytest.mark.parametrize("command", TRAININGS)
def test_every_training_takes_the_settings_of_the_schema_as_flags(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, _ = run(capsys, *command.split(), "--help")
    known = {"--dataset", "--env", "--amp", "--model", "--recipe", "--set", "--seed", "--grad-clip", "--early-stopping"}
    renamed = ("amp", "class_weights", "gradient_clip", "patience")
    known |= {f"--{name.replace('_', '-')}" for name in settings(TrainingConfig) if name not in renamed}
    assert code == 0 and known - set(shown.replace(",", " ").split()) == set()


def test_flags_mean_the_same_in_folds_as_in_train(
    toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--store", str(toy_store), "--out", str(tmp_path / "out"), "--epochs", "3", "--batch_size", "8"]
    words += ["--set", "training.lr=0.5", "seed=7", "--dry-run", "--json"]
    code, stdout, _ = run(capsys, "folds", *words)
    planned = json.loads(stdout)
    assert (code, planned["epochs"], planned["seeds"]) == (0, 3, [7])
    code, stdout, _ = run(capsys, "train", *words)
    recipe = json.loads(stdout)["recipe"]
    assert code == 0 and "seed: 7" in recipe and "  batch_size: 8" in recipe and "  lr: 0.5" in recipe


@pytest.mark.parametrize("command", [["train"], ["pretrain", "maskclr"]])
def test_a_training_begins_with_its_numbers(
    command: list[str], toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*command, "--model", "last_lite_nano", "--store", str(toy_store), *FAST]
    code, _, stderr = run(capsys, *arguments, "--out", str(tmp_path / "shown"))
    assert code == 0 and "batch size: 8" in stderr and "early stopping: off, all 1 epochs" in stderr
    code, _, stderr = run(capsys, *arguments, "--out", str(tmp_path / "quiet"), "--quiet")
    assert code == 0 and "batch size" not in stderr
