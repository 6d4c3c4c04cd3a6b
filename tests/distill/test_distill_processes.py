"""Two processes distil what one distils with twice the batch: projections are shared, the cache is filled once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from last_edge.distill.run import run_distillation
from last_edge.train.checkpoint import checkpoint_folder, read_trainer
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request

ROOT = Path(__file__).parents[2]
SETS = [
    "model.name=last_lite_nano", "model.dropout=0.0", "input.frames=16", "training.epochs=2", "training.lr=0.02",
    "training.amp=off", "augment.noise_joint=0", "augment.noise_velocity=0", "augment.noise_bone=0",
    "validation.subjects=[1]", "distill.losses=[{student: 3, teacher: 3, loss: feature_mse}]", "distill.g=0.1",
    "distill.cache=on", "distill.cache_views=2", "distill.cache_features=true",
]  # fmt: skip


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_batch(toy_store: Path, tmp_path: Path, teacher: Path) -> None:
    sets = [text for value in [*SETS, "training.batch_size=4"] for text in ("--set", value)]
    given = ["--teacher", str(teacher), "--store", str(toy_store), "--out", str(tmp_path / "two"), "--device", "cpu"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "last_edge.tools.cli", "distill", *given, "--cache", str(tmp_path / "cache"), *sets]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("teachers answer: view 2 of 2") == 1
    recipe = load_recipe("kd_nano", overrides=[*SETS, "training.batch_size=8"])
    run_distillation(Request(recipe, toy_store, tmp_path / "one"), [teacher], cache=tmp_path / "cache")
    one, two = (read_trainer(checkpoint_folder(tmp_path / name, "last")) for name in ("one", "two"))
    for group in ("helpers", "model"):
        for name, value in one[group].items():
            torch.testing.assert_close(two[group][name], value, rtol=1e-3, atol=1e-4)
