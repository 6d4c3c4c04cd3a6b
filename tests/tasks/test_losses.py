"""Label losses against torch's own, class weights by their formula, and that a training uses them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from last_edge.clips import ClipStore
from last_edge.errors import UsageError
from last_edge.tasks import class_learner
from last_edge.tasks.class_learner import cross_entropy
from last_edge.tasks.objective import WEIGHT_POWERS, class_weights, label_loss, smoothed_cross_entropy
from last_edge.tasks.plan import make_plan
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 1, 2, 3, 0])
TARGETS = torch.nn.functional.one_hot(LABELS, 4).float()
WEIGHTS = torch.tensor([0.1, 0.5, 2.0, 10.0])
SMALL = ["model.name=last_lite_nano", "input.frames=8", "training.batch_size=8", "training.epochs=2"]


def losses_of_epochs(store: Path, out: Path, *sets: str) -> list[float]:
    run_training(Request(load_recipe(None, overrides=[*SMALL, *sets]), store, out))
    return [json.loads(row)["loss"] for row in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weighted_loss_is_torchs(smoothing: float) -> None:
    expected = torch.nn.functional.cross_entropy(LOGITS, LABELS, weight=WEIGHTS, label_smoothing=smoothing)
    torch.testing.assert_close(label_loss(LOGITS, TARGETS, smoothing, gamma=0.0, weights=WEIGHTS), expected)


def test_focal_loss_by_its_definition() -> None:
    p = torch.softmax(LOGITS, 1)[torch.arange(6), LABELS]
    expected = (-((1 - p) ** 2.0) * p.log()).mean()
    torch.testing.assert_close(label_loss(LOGITS, TARGETS, 0.0, gamma=2.0, weights=None), expected)


def test_gamma_0_without_weights_is_cross_entropy() -> None:
    plain = smoothed_cross_entropy(LOGITS, TARGETS, 0.1)
    torch.testing.assert_close(label_loss(LOGITS, TARGETS, 0.1, gamma=0.0, weights=None), plain)


def test_focal_loss_has_gradients_where_the_model_is_sure() -> None:
    logits = (100 * TARGETS).requires_grad_()
    label_loss(logits, TARGETS, 0.1, gamma=0.5, weights=None).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_class_weights_by_the_formula() -> None:
    labels = np.repeat(np.arange(3), [9, 4, 1])
    inverse = 1 / np.array([9.1, 4.1, 1.1])
    np.testing.assert_allclose(class_weights(labels, 3), inverse * 3 / inverse.sum(), rtol=1e-6)


def test_softened_weights_differ_by_square_roots() -> None:
    weights = class_weights(np.repeat(np.arange(2), [900, 100]), 2, power=WEIGHT_POWERS["softened"])
    assert weights.mean() == pytest.approx(1)
    assert weights[1] / weights[0] == pytest.approx((900.1 / 100.1) ** 0.5, rel=1e-6)


def test_absent_classes_change_no_weight() -> None:
    labels = np.repeat([0, 2, 3], [9, 4, 1])
    present = class_weights(np.repeat(np.arange(3), [9, 4, 1]), 3)
    np.testing.assert_array_equal(class_weights(labels, 6), [present[0], 1, present[1], present[2], 1, 1])


def test_class_weights_are_limited() -> None:
    weights = class_weights(np.repeat(np.arange(40), [1, *[2000] * 39]), 40)
    assert (weights[0], weights[1]) == (10.0, pytest.approx(0.1))


def test_a_training_takes_loss_and_weights_from_the_recipe(toy_store: Path) -> None:
    store = ClipStore.open(toy_store)
    for sets, gamma, weighted in (
        ([], 0.0, False),
        (["training.loss=focal", "training.focal_gamma=1.5"], 1.5, False),
        (["training.class_weights=balanced"], 0.0, True),
        (["training.class_weights=softened"], 0.0, True),
    ):
        recipe = load_recipe(None, overrides=sets)
        objective = cross_entropy(recipe, make_plan(store, recipe), "cpu")
        assert (objective.gamma, objective.weights is not None) == (gamma, weighted)


def test_weights_that_come_later_leave_the_first_epochs_alone(
    toy_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        class_learner, "class_weights", lambda labels, classes, power: np.linspace(0.1, 4, classes, dtype=np.float32)
    )
    weighted = "training.class_weights=balanced"
    never = losses_of_epochs(toy_store, tmp_path / "never")
    always, late, too_late = (
        losses_of_epochs(toy_store, tmp_path / share, weighted, f"training.class_weights_from={share}")
        for share in ("0", "0.5", "1")
    )
    assert too_late == never
    assert late[0] == never[0] != always[0] and late[1] != never[1]


@pytest.mark.parametrize(
    ("value", "named"),
    [("loss=focl", "focal"), ("class_weights=balance", "balanced"), ("warmup_epochs=-2", "tenth"),
     ("focal_gamma=-1", "focal_gamma"), ("warmup_start_share=2", "warmup_start_share")],
)  # fmt: skip
def test_faults_are_named(value: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        load_recipe(None, overrides=[f"training.{value}"])
