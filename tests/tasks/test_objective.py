"""What a recognition learns against: smoothed labels, and streams with noise and without glitches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from last_edge.clips.store import ClipStore
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.skeleton import Layout
from last_edge.tasks.config import AugmentConfig
from last_edge.tasks.objective import smoothed_cross_entropy, training_streams
from last_edge.tasks.registry import task_of
from last_edge.train.recipe import load_recipe

QUIET = AugmentConfig(noise_joint=0, noise_velocity=0, noise_bone=0)


def test_label_smoothing_equals_its_formula() -> None:
    logits, targets = torch.randn(6, 4), torch.eye(4)[[0, 1, 2, 3, 0, 1]]
    expected = -((0.9 * targets + 0.1 / 4) * torch.log_softmax(logits, 1)).sum(1).mean()
    torch.testing.assert_close(smoothed_cross_entropy(logits, targets, 0.1), expected)


def test_noise_reaches_each_stream_at_its_size(toy_layout: Layout) -> None:
    spec = InputSpec(toy_layout, frames=16)
    model = create_model("last_lite_nano", spec=spec, classes=3).eval()
    points = torch.randn(64, 16, 5, 3)
    noise = AugmentConfig(noise_joint=0.1, noise_velocity=0.02, noise_bone=0.05)
    change = (training_streams(model, points, noise=noise, clamp=0.0) - model.front(points)).reshape(64, 3, 3, 16, 5)
    inner = change[:, :, :, :-1, 1:]
    assert inner.std(dim=(0, 2, 3, 4)).tolist() == pytest.approx([0.1, 0.02, 0.05], rel=0.1)


def test_glitches_are_clamped_in_training(toy_layout: Layout) -> None:
    model = create_model("last_lite_nano", spec=InputSpec(toy_layout, frames=16, centre="none"), classes=3).eval()
    points = torch.randn(4, 16, 5, 3, generator=torch.Generator().manual_seed(0)) / 2
    points[0, 3, 1] = 300.0
    points[0, 4, 1] = -300.0
    free, held = (training_streams(model, points, noise=QUIET, clamp=clamp) for clamp in (0.0, 5.0))
    assert not torch.allclose(free[0], held[0])
    torch.testing.assert_close(free[1:], held[1:])


def test_curves_on_the_same_terms_know_neither_augmentation_nor_smoothing(toy_store: Path) -> None:
    rows = []
    task = task_of("last_lite_nano")
    for changed in ([], ["augment.noise_joint=0.5", "augment.rotation_deg=90", "training.label_smoothing=0.5"]):
        sets = ["model.name=last_lite_nano", "input.frames=16", *changed]
        store = ClipStore.open(toy_store)
        recipe = task.fitted(load_recipe("demo", overrides=sets), store)
        learner = task.learner(task.plan(store, recipe), recipe)
        torch.manual_seed(0)
        rows.append(learner.validate(learner.model().eval(), learner.objective()))
    assert rows[0] == rows[1] and {"clean_loss", "val_loss", "clean_top1", "val_top1"} <= rows[0].keys()
