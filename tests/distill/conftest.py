"""Teachers trained on the toy store, once for all tests of distillation."""

from __future__ import annotations

from pathlib import Path

import pytest

from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training

FAST = ("training.epochs=1", "training.batch_size=8", "input.frames=16", "validation.subjects=[1]")


@pytest.fixture(scope="session")
def teacher(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of last_e_nano, 16 frames."""
    path = tmp_path_factory.mktemp("teachers") / "nano"
    run_training(Request(load_recipe(None, overrides=FAST), toy_store, path))
    return path


@pytest.fixture(scope="session")
def other_teacher(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of last_lite_small that reads 24 frames and two streams, centred frame by frame."""
    path = tmp_path_factory.mktemp("teachers") / "other"
    sets = ["model.name=last_lite_small", "input.frames=24", "input.streams=[joint, bone]", "input.centre=frame"]
    run_training(Request(load_recipe(None, overrides=[*FAST, *sets]), toy_store, path))
    return path
