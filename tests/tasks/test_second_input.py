"""Training with features: they are learnt from, resumed with, a wrong width is adjusted with a warning."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from last_edge.clips.features import write_features
from last_edge.clips.store import ClipStore
from last_edge.distill.run import run_distillation
from last_edge.errors import InputError, InterruptedRun, UsageError
from last_edge.train.checkpoint import load_checkpoint
from last_edge.train.evaluate import evaluate_run
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training

WIDTH = 12
SETS = (
    "model.name=hybrid_nslt", "model.width=16", "model.heads=2", "model.layers=1", "model.dropout=0.0",
    "model.feature_frames=4", "input.frames=8", "training.epochs=12", "training.batch_size=8",
    "training.optimizer=adamw", "training.lr=0.003", "training.warmup_epochs=1", "training.warmup_start_lr=0.0003",
    "validation.fraction=0.25",
)  # fmt: skip


@pytest.fixture
def store(toy_store: Path, tmp_path: Path) -> Path:
    """The toy store without its motions: only its features tell the classes apart."""
    path = tmp_path / "store"
    shutil.copytree(toy_store, path)
    opened, random = ClipStore.open(path), np.random.default_rng(0)
    shapes = random.normal(size=(len(opened.labels), WIDTH))
    rows = (np.repeat(shapes[label][None], 3, 0) + random.normal(0, 0.3, (3, WIDTH)) for label in opened.index.label)
    write_features(opened, "visual", rows, about={})
    return path


def recipe(*sets: str):  # type: ignore[no-untyped-def]
    return load_recipe(None, overrides=[*SETS, *sets])


def test_it_learns_from_the_features(store: Path, tmp_path: Path) -> None:
    still = ("augment.rotation_deg=180", "augment.tilt_deg=180")  # nothing left to learn from the motions
    final = run_training(Request(recipe(*still), store, tmp_path / "run"))
    assert final["test"]["top1"] > 90
    assert evaluate_run(tmp_path / "run", ClipStore.open(store))["top1"] == final["test"]["top1"]
    options = json.loads((load_checkpoint(tmp_path / "run").path / "model.json").read_text())["options"]
    assert (options["features"], options["feature_dim"], options["feature_frames"]) == ("visual", WIDTH, 4)


def test_a_wrong_width_is_adjusted_with_a_warning(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = recipe("model.feature_dim=2048", "training.epochs=1")
    with caplog.at_level(logging.WARNING):
        run_training(Request(wrong, store, tmp_path / "run"))
    assert any("have 12 numbers a frame, the recipe says 2048" in message for message in caplog.messages)
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.model.features.width == WIDTH  # type: ignore[union-attr]
    assert "feature_dim: 12" in (checkpoint.path / "recipe.yaml").read_text()
    caplog.clear()
    run_training(Request(recipe("training.epochs=1"), store, tmp_path / "silent"))
    assert not [message for message in caplog.messages if "numbers a frame" in message]


def test_an_interrupted_run_ends_with_the_same_weights(store: Path, tmp_path: Path) -> None:
    short = recipe("training.epochs=3", "model.dropout=0.2")
    run_training(Request(short, store, tmp_path / "whole"))

    def stop(row: dict[str, float], epochs: int) -> None:
        if row["epoch"] == 2:
            raise InterruptedRun("stopped by the test", where="here")

    with pytest.raises(InterruptedRun):
        run_training(Request(short, store, tmp_path / "parts"), report=stop)
    run_training(Request(short, store, tmp_path / "parts"))
    whole, parts = (load_checkpoint(tmp_path / name, "last").model.state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_a_store_without_features_is_refused(toy_store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no features 'visual'"):
        run_training(Request(recipe(), toy_store, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_mixup_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mixup"):
        run_training(Request(recipe("training.mixup=0.2"), store, tmp_path / "run"))


def test_distillation_hands_on_no_features_and_says_so(store: Path, tmp_path: Path) -> None:
    run_training(Request(recipe("training.epochs=1"), store, tmp_path / "hybrid"))
    plain = load_recipe(None, overrides=["model.name=last_lite_nano", "input.frames=8", "training.epochs=1"])
    with pytest.raises(InputError, match="teacher reads features"):
        run_distillation(Request(plain, store, tmp_path / "student"), [tmp_path / "hybrid"])
    with pytest.raises(UsageError, match="second input is not distilled"):
        run_distillation(Request(recipe(), store, tmp_path / "student"), [tmp_path / "hybrid"])
