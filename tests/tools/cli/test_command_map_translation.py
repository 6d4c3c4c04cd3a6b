"""Every command of the translator's document is in docs/command_map.md and resolves to its values."""

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
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training

PAGE = (Path(__file__).parents[3] / "docs" / "command_map.md").read_text().partition("## The translator's commands")[2]
ROWS = re.findall(r"^\| (.*?) \| `last-edge (train|eval) ([^`]*)` \|$", PAGE, flags=re.MULTILINE)
TRAININGS = [(theirs, ours) for theirs, command, ours in ROWS if command == "train"]
DEFAULTS = {
    "epochs": 30, "batch_size": 64, "optimizer": "adamw", "lr": 1e-4, "weight_decay": 1e-4, "min_lr": 1e-6,
    "scheduler": "cosine_warmup", "warmup_epochs": 0, "label_smoothing": 0.1, "gradient_clip": 1.0, "patience": 10,
}  # fmt: skip
EXPECTED: list[dict[str, Any]] = [
    {"training": {"epochs": 3}},
    {},
    {"model": {"options": {"seen": True, "width": 128, "hidden": 512}}},
    {"translate": {"jitter": 1.0, "speed": 0.15}, "augment": {"noise_joint": 0.01}},
    {"translate": {"subset": 10000}},
    {"training": {"init": "runs/how2sign/10k"}},
    {"training": {"init": "runs/how2sign/10k"}, "translate": {"freeze_encoder": True}},
]
TINY = ["model.width=16", "model.heads=2", "model.hidden=16", "training.epochs=1", "training.batch_size=4",
        "training.amp=off", "translate.vocabulary=30"]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store and the run that the page names."""
    root, random, layout = tmp_path_factory.mktemp("root"), np.random.default_rng(0), get_layout("openpose137")
    with writing_store(root / "data" / "how2sign", layout=layout, units="image01", labels=()) as writer:
        for number in range(12):
            writer.add(
                SkeletonClip.from_points(
                    random.normal(0.5, 0.1, (1, 12, 137, 2)),
                    layout=layout,
                    fps=24,
                    units="image01",
                    subject=f"v{number}",
                    split="train" if number < 8 else "val",
                    source_id=f"s{number}",
                    text=f"sentence {number % 3} .",
                )  # fmt: skip
            )
    recipe = load_recipe("sign2text_how2sign", overrides=TINY)
    run_training(Request(recipe, root / "data" / "how2sign", root / "runs" / "how2sign" / "10k"))
    return root


@pytest.mark.parametrize(("row", "expected"), zip(TRAININGS, EXPECTED, strict=True))
def test_each_training_is_the_documents(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, row: tuple[str, str],
    expected: dict[str, Any],
) -> None:  # fmt: skip
    monkeypatch.chdir(root)
    assert main(["train", *shlex.split(row[1]), "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    recipe = yaml.safe_load(planned["recipe"])
    training = DEFAULTS | expected.get("training", {})
    assert {key: recipe["training"][key] for key in training} == training
    for group in ("translate", "augment"):
        wanted = expected.get(group, {})
        assert {key: recipe[group][key] for key in wanted} == wanted
    assert recipe["model"] == {"name": "sign2text_v4"} | expected.get("model", {"options": {"seen": True}})
    assert planned["clips"] == {"train": 8, "val": 4, "test": 0} and recipe["input"]["frames"] == 200
    assert "dropout: the model's own" in planned["hyperparameters"]


def test_the_evaluation_names_a_run_of_the_training(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    (arguments,) = [ours for _, command, ours in ROWS if command == "eval"]
    assert main(["train", *shlex.split(TRAININGS[1][1]), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["out"] == shlex.split(arguments)[0]
    assert main(["eval", *shlex.split(arguments.replace("how2sign/sign2text_v4", "how2sign/10k")), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert {"bleu1", "bleu4", "wer", "vocabulary_coverage", "repetition", "loss", "gap", "tier", "next"} <= set(figures)
