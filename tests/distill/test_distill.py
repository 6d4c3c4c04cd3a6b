"""Distillation: the loss equals its formula, the teacher stays as it is, the student learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from last_edge.distill.losses import soft_target_loss
from last_edge.distill.objective import Distillation
from last_edge.distill.run import run_distillation
from last_edge.errors import InputError
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.skeleton import Layout
from last_edge.train.config import AugmentConfig, DistillConfig
from last_edge.train.objective import CrossEntropy
from last_edge.train.recipe import load_recipe
from last_edge.train.run import Request, run_training

FAST = ["training.epochs=1", "training.batch_size=8", "input.frames=16", "validation.subjects=[1]"]


def test_soft_target_loss_equals_its_formula() -> None:
    student, teacher = torch.randn(5, 7), torch.randn(5, 7)
    p, q = torch.softmax(teacher / 4, 1), torch.softmax(student / 4, 1)
    expected = 16 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(soft_target_loss(student, teacher, 4.0), expected)
    assert float(soft_target_loss(teacher, teacher, 2.0)) == pytest.approx(0.0, abs=1e-6)


def test_gradients_reach_the_student_only(toy_layout: Layout) -> None:
    spec = InputSpec(toy_layout, frames=16)
    teacher, student = (create_model(name, spec=spec, classes=3) for name in ("last_e_nano", "last_lite_nano"))
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    plain = CrossEntropy(smoothing=0.0, noise=AugmentConfig(), clamp=30.0)
    loss, logits = Distillation(teacher, plain, DistillConfig())(
        student, torch.randn(4, 16, 5, 3), torch.eye(3)[[0, 1, 2, 0]]
    )
    loss.backward()
    assert logits.shape == (4, 3)
    assert not teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_a_run_distils_and_another_teacher_is_another_run(toy_store: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    run_training(Request(load_recipe(None, overrides=FAST), toy_store, teacher))
    recipe = load_recipe(None, overrides=[*FAST, "model.name=last_lite_nano"])
    final = run_distillation(Request(recipe, toy_store, tmp_path / "student"), teacher)
    assert final["model"] == "last_lite_nano"
    assert final["test"]["n"] == 24


def test_a_teacher_with_another_window_is_refused(toy_store: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    run_training(Request(load_recipe(None, overrides=FAST), toy_store, teacher))
    recipe = load_recipe(None, overrides=[*FAST, "input.frames=24"])
    with pytest.raises(InputError, match="teacher takes other points"):
        run_distillation(Request(recipe, toy_store, tmp_path / "student"), teacher)


def test_weights_of_labels_and_teacher_count(toy_layout: Layout) -> None:
    spec = InputSpec(toy_layout, frames=16)
    teacher, student = (create_model("last_lite_nano", spec=spec, classes=3).eval() for _ in range(2))
    plain = CrossEntropy(smoothing=0.0, noise=AugmentConfig(noise_joint=0, noise_velocity=0, noise_bone=0), clamp=0.0)
    points, targets = torch.randn(4, 16, 5, 3), torch.eye(3)[[0, 1, 2, 0]]
    parts = [
        Distillation(teacher, plain, DistillConfig(a=a, b=b))(student, points, targets)[0].item()
        for a, b in ((1, 0), (0, 1), (0.3, 0.7))
    ]
    np.testing.assert_allclose(parts[2], 0.3 * parts[0] + 0.7 * parts[1], rtol=1e-5)
