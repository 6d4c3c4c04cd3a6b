"""A pose transformer trains through the same run as every model: it learns, resumes bit for bit, is exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from last_edge.errors import InterruptedRun
from last_edge.tools.cli.training import summary
from last_edge.train.checkpoint import load_checkpoint
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training

SETS = (
    "model.name=pose_transformer_small", "model.width=32", "model.layers=2", "model.heads=4", "model.hidden=64",
    "model.dropout=0.0", "input.frames=12", "input.scale=frame", "input.centre=frame", "input.streams=[joint]",
    "training.epochs=16", "training.batch_size=8", "training.optimizer=adamw", "training.lr=0.003",
    "training.warmup_epochs=2", "training.warmup_start_share=0.1", "training.loss=focal",
    "training.class_weights=balanced", "training.weight_decay=0.01", "augment.rotation_deg=5",
)  # fmt: skip


def test_it_learns_with_focal_loss_and_class_weights(toy_store: Path, tmp_path: Path) -> None:
    final = run_training(Request(load_recipe(None, overrides=SETS), toy_store, tmp_path / "run"))
    assert final["test"]["top1"] > 60 and final["test"]["top3"] == 100
    assert f"top-1 {final['test']['top1']}%  top-3 100.0%  top-5" in summary(final, tmp_path / "run")["test"]
    assert load_checkpoint(tmp_path / "run").model.body.options.width == 32  # type: ignore[union-attr]


def test_an_interrupted_run_ends_with_the_same_weights(toy_store: Path, tmp_path: Path) -> None:
    recipe = load_recipe(None, overrides=[*SETS, "training.epochs=4", "model.dropout=0.2"])
    run_training(Request(recipe, toy_store, tmp_path / "whole"))

    def stop(row: dict[str, float], epochs: int) -> None:
        if row["epoch"] == 2:
            raise InterruptedRun("stopped by the test", where="here")

    with pytest.raises(InterruptedRun):
        run_training(Request(recipe, toy_store, tmp_path / "parts"), report=stop)
    run_training(Request(recipe, toy_store, tmp_path / "parts"))
    whole, parts = (load_checkpoint(tmp_path / name, "last").model.state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
