"""Every command of the sign recogniser's documents is in docs/command_map.md and resolves to their values."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from last_edge.clips.writer import writing_store
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools.cli import main

PAGE = (Path(__file__).parents[3] / "docs" / "command_map.md").read_text().partition("## The sign recogniser")[2]
SECTION = PAGE.partition("\n## ")[0]
ROWS = re.findall(r"^\| `(--[^`]*)` \| `last-edge (train|eval) ([^`]*)` \|$", SECTION, flags=re.MULTILINE)
TRAININGS = [(theirs, ours) for theirs, command, ours in ROWS if command == "train"]
DEFAULTS = {
    "epochs": 1500, "optimizer": "adamw", "lr": 1e-4, "weight_decay": 0.001, "scheduler": "cosine_warmup",
    "warmup_epochs": -1, "min_lr": 1e-6, "label_smoothing": 0.1, "gradient_clip": 1.0, "patience": 0,
}  # fmt: skip
EXPECTED = [
    ("pose_transformer_large", {"batch_size": 16}),
    ("pose_transformer_small", {"batch_size": 32}),
    ("pose_transformer_small", {"label_smoothing": 0.15, "gradient_clip": 0.5, "warmup_epochs": 100}),
    ("pose_transformer_small", {"label_smoothing": 0.0}),
    ("pose_transformer_small", {"warmup_epochs": 0}),
    ("pose_transformer_small", {"gradient_clip": 2.0}),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the two stores of 50 classes that the page names."""
    root, random, layout = tmp_path_factory.mktemp("data"), np.random.default_rng(0), get_layout("mediapipe_holistic75")
    labels = tuple(f"sign{number:02d}" for number in range(50))
    for name in ("asl50_original", "asl50_augmented"):
        with writing_store(root / name, layout=layout, units="image01", labels=labels, about={}, force=False) as writer:
            for number, label in enumerate(labels):
                points = random.normal(size=(1, 3, 75, 2))
                about = {"label": label, "subject": str(number % 3), "source_id": label, "split": "train"}
                writer.add(SkeletonClip.from_points(points, layout=layout, fps=30, units="image01", **about))
    return root


def dry_run(root: Path, capsys: pytest.CaptureFixture[str], ours: str) -> dict[str, Any]:
    code = main(["train", *shlex.split(ours), "--data-root", str(root), "--env", "local", "--dry-run", "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    result: dict[str, Any] = json.loads(captured.out)
    return result | {"recipe": yaml.safe_load(result["recipe"])}


def test_the_page_has_a_row_for_each_command() -> None:
    assert len(TRAININGS) == len(EXPECTED) and len(ROWS) == len(EXPECTED) + 1


@pytest.mark.parametrize(("row", "expected"), zip(TRAININGS, EXPECTED, strict=True))
def test_a_row_resolves_to_the_documents_values(
    root: Path, capsys: pytest.CaptureFixture[str], row: tuple[str, str], expected: tuple[str, dict[str, Any]]
) -> None:
    theirs, ours = row
    result, (model, changed) = dry_run(root, capsys, ours), expected
    training = result["recipe"]["training"]
    wanted = DEFAULTS | changed
    assert {key: training[key] for key in wanted} == wanted
    assert result["recipe"]["model"]["name"] == model
    assert result["store"].endswith("asl50_augmented" if "augmented" in theirs else "asl50_original")
    assert result["recipe"]["input"]["frames"] == 128


def test_the_summary_and_rates_are_the_documents(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = dry_run(root, capsys, TRAININGS[1][1])
    assert result["lr"][0] == pytest.approx(1e-6) and result["lr"][150] == pytest.approx(1e-4)
    assert max(result["lr"]) == result["lr"][150] and result["final_lr"] == pytest.approx(1e-6)
    lines = result["hyperparameters"]
    assert "batch size: 32" in lines and "early stopping: off, all 1500 epochs" in lines
    assert any("150 epochs (a tenth of the run, at least 10)" in line and "1350 epochs" in line for line in lines)
    assert main(["train", *shlex.split(TRAININGS[1][1]), "--data-root", str(root), "--dry-run"]) == 0
    assert "\n  label smoothing: 0.1\n" in capsys.readouterr().out


def test_the_evaluation_names_the_run_and_store_of_the_training(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (ours,) = (ours for _, command, ours in ROWS if command == "eval")
    run, store = ours.split(" --store ")
    trained = dry_run(root, capsys, TRAININGS[0][1].replace("_large", "_small"))
    assert (trained["out"], Path(trained["store"]).name) == (run, Path(store).name)
    assert main(["eval", *shlex.split(ours)]) == 3
    assert store in capsys.readouterr().err


def test_the_page_makes_its_stores(toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = re.findall(r"`last-edge (data augment-pool [^`]*)`", PAGE)
    typed = command.replace("STORE", str(toy_store)).replace("--classes 50", "--classes 2")
    for extra in ([], ["--variants", "0", "--axes", "2"]):
        arguments = [*shlex.split(typed)[:-1], str(tmp_path / "pool"), *extra, "--dry-run", "--json"]
        assert main(arguments) == 0
        assert json.loads(capsys.readouterr().out)["classes"] == 2


@pytest.mark.parametrize(
    ("flags", "key", "value"),
    [
        (["--early-stopping", "30"], "patience", 30),
        (["--use_class_weights"], "class_weights", "balanced"),
        (["--use-class-weights", "--no-class-weights"], "class_weights", "none"),
        (["--set", "training.loss=focal"], "loss", "focal"),
        (["--grad_clip", "0"], "gradient_clip", 0.0),
    ],
)
def test_flags(root: Path, capsys: pytest.CaptureFixture[str], flags: list[str], key: str, value: object) -> None:
    assert dry_run(root, capsys, " ".join([TRAININGS[1][1], *flags]))["recipe"]["training"][key] == value


def test_the_page_names_the_official_subsets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = re.findall(r"`last-edge (data prepare pose [^`]*)`", PAGE)
    subset = tmp_path / "nslt_100.json"
    subset.write_text('{"00001": {"subset": "train", "action": [0, 1, 2]}}')
    typed = command.replace("POSES", str(tmp_path)).replace("nslt_100.json", str(subset))
    assert main([*shlex.split(typed), "--dry-run"]) == 3
    assert "no recording of the subset found" in capsys.readouterr().err
