"""Distillation: gradients reach the student alone, teachers stay as they are, runs resume with their projections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from last_edge.distill.cache import Answers, StageOf, Teachers, points_for
from last_edge.distill.objective import Distillation, LossMap
from last_edge.distill.run import run_distillation
from last_edge.errors import InputError, UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.landmark_model import LandmarkModel
from last_edge.skeleton import Layout
from last_edge.tasks.config import AugmentConfig, DistillConfig, StageLoss
from last_edge.tasks.objective import CrossEntropy
from last_edge.train.checkpoint import checkpoint_folder, load_checkpoint, read_trainer
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request

QUIET = AugmentConfig(noise_joint=0, noise_velocity=0, noise_bone=0)
PLAIN = CrossEntropy(smoothing=0.0, noise=QUIET, clamp=0.0)
FAST = ["training.epochs=1", "training.batch_size=8", "input.frames=16", "validation.subjects=[1]"]
STUDENT = [*FAST, "model.name=last_lite_nano"]
MAP = "distill.losses=[{student: 3, teacher: 3, loss: feature_mse}, {student: 2, teacher: 1, loss: rkd_distance}]"
NOBODY = torch.zeros(0, dtype=torch.int64)


def model(name: str, layout: Layout, **spec: Any) -> LandmarkModel:
    return create_model(name, spec=InputSpec(layout, **{"frames": 16, **spec}), classes=3)


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(4, 16, 5, 3), torch.eye(3)[[0, 1, 2, 0]]


def request(store: Path, out: Path, *sets: str) -> Request:
    return Request(load_recipe(None, overrides=[*STUDENT, *sets]), store, out)


@pytest.mark.parametrize("soft", ["kl", "dkd", "dist"])
def test_gradients_reach_the_student_only(toy_layout: Layout, soft: str) -> None:
    taught, student = model("last_e_nano", toy_layout).train(), model("last_lite_nano", toy_layout)
    before = {name: value.clone() for name, value in taught.state_dict().items()}
    entries = [StageLoss(stage, stage, "feature_mse") for stage in (1, 2, 3)]
    wanted = [StageOf(0, stage) for stage in (0, 1, 2)]
    loss_map = LossMap(entries, student=student.stage_widths(), teachers=[taught.stage_widths()], seed=0)
    config = DistillConfig(soft=soft, losses=entries)
    objective = Distillation(Teachers([taught], wanted=wanted), PLAIN, config, loss_map=loss_map)
    loss, logits = objective(student, *batch())
    loss.backward()
    assert logits.shape == (4, 3)
    assert not taught.training
    assert all(parameter.grad is None for parameter in taught.parameters())
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert all(parameter.grad is not None for parameter in loss_map.parameters())
    assert all(torch.equal(value, before[name]) for name, value in taught.state_dict().items())


def test_weights_of_labels_teacher_and_stages_count(toy_layout: Layout) -> None:
    taught, student = (model("last_lite_nano", toy_layout).eval() for _ in range(2))
    entries = [StageLoss(1, 1, "attention_transfer")]
    loss_map = LossMap(entries, student=(32, 48, 64), teachers=[(32, 48, 64)], seed=0)
    source = Teachers([taught], wanted=[StageOf(0, 0)])
    points, targets = batch()
    parts = [
        Distillation(source, PLAIN, DistillConfig(a=a, b=b, g=g), loss_map=loss_map)(student, points, targets)[0].item()
        for a, b, g in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0.3, 0.7, 0.1))
    ]
    np.testing.assert_allclose(parts[3], 0.3 * parts[0] + 0.7 * parts[1] + 0.1 * parts[2], rtol=1e-5)
    assert min(parts) > 0


def test_the_student_goes_forward_once(toy_layout: Layout) -> None:
    student = model("last_lite_nano", toy_layout)
    passes: list[int] = []
    student.body.fusion.register_forward_hook(lambda *_: passes.append(1))  # type: ignore[union-attr, operator]
    loss_map = LossMap([StageLoss(3, 3, "feature_mse")], student=(32, 48, 64), teachers=[(32, 48, 64)], seed=0)

    def source(points: Tensor, clips: Tensor, view: int) -> Answers:
        return Answers(torch.zeros(len(points), 1, 3), {StageOf(0, 2): torch.zeros(len(points), 64, 4, 5)})

    Distillation(source, PLAIN, DistillConfig(), loss_map=loss_map)(student, *batch())
    assert len(passes) == 1


def test_teachers_read_the_same_points_through_their_own_input(toy_layout: Layout) -> None:
    """A window of 24 frames from one of 16, other streams, one body of two: as if each had the points to itself."""
    longer = model("last_e_nano", toy_layout, frames=24, streams=("bone",), centre="frame").eval()
    points = torch.randn(4, 16, 5, 3)
    stretched = torch.nn.functional.interpolate(
        points.permute(0, 2, 3, 1).flatten(0, 1), size=24, mode="linear", align_corners=True
    )
    expected = longer(stretched.reshape(4, 5, 3, 24).permute(0, 3, 1, 2))
    got = Teachers([longer])(points, NOBODY, 0).logits
    assert got.shape == (4, 1, 3)
    torch.testing.assert_close(got[:, 0], expected, rtol=1e-4, atol=1e-5)
    two = torch.randn(4, 2, 16, 5, 3)
    assert torch.equal(points_for(model("last_e_nano", toy_layout), two), two[:, 0])


def test_a_run_distils_with_several_teachers_of_other_inputs(
    toy_store: Path, tmp_path: Path, teacher: Path, other_teacher: Path
) -> None:
    before = [load_file(checkpoint_folder(path) / "model.safetensors") for path in (teacher, other_teacher)]
    sets = [MAP.replace("teacher: 1, loss: rkd", "teacher: 1, of: 2, loss: rkd"), "distill.teacher_weights=[2, 1]"]
    final = run_distillation(request(toy_store, tmp_path / "student", *sets), [teacher, other_teacher])
    assert final["model"] == "last_lite_nano"
    assert final["test"]["n"] == 24
    after = [load_file(checkpoint_folder(path) / "model.safetensors") for path in (teacher, other_teacher)]
    assert all(torch.equal(x[name], y[name]) for x, y in zip(before, after, strict=True) for name in x)


def test_a_run_resumes_with_its_projections_and_ships_without_them(
    toy_store: Path, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from last_edge.train.trainer import Trainer

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    sets = [MAP, "training.epochs=2", "training.ema_decay=0.9"]
    run_distillation(request(toy_store, whole, *sets), [teacher])

    class Killed(Exception):
        pass

    original = Trainer.step

    def step(self: Trainer, points: Tensor, labels: Tensor) -> None:
        if self.progress.step == self.per_epoch:
            raise Killed
        original(self, points, labels)

    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(Killed):
        run_distillation(request(toy_store, parts, *sets), [teacher])
    monkeypatch.undo()
    run_distillation(request(toy_store, parts, *sets), [teacher])
    states = [read_trainer(checkpoint_folder(path, "last")) for path in (whole, parts)]
    assert list(states[0]["helpers"]) == ["projections.0.weight"]
    for state in states:
        state["average"] = state["average"]["state"]
    for group in ("model", "helpers", "average"):
        assert all(torch.equal(states[1][group][name], value) for name, value in states[0][group].items())
    first = torch.zeros(64, 64, 1, 1)
    assert not torch.equal(states[0]["helpers"]["projections.0.weight"], first)
    shipped = load_checkpoint(whole).model.state_dict()
    plain = create_model("last_lite_nano", spec=load_checkpoint(whole).spec, classes=3).state_dict()
    assert list(shipped) == list(plain)


def test_another_teacher_is_another_run(toy_store: Path, tmp_path: Path, teacher: Path, other_teacher: Path) -> None:
    run_distillation(request(toy_store, tmp_path / "student"), [teacher])
    with pytest.raises(UsageError, match="other settings"):
        run_distillation(request(toy_store, tmp_path / "student"), [teacher, other_teacher])


def test_the_terms_of_the_loss_are_logged(toy_store: Path, tmp_path: Path, teacher: Path) -> None:
    rows: list[dict[str, float]] = []
    run_distillation(request(toy_store, tmp_path / "student", MAP), [teacher], report=lambda row, _: rows.append(row))
    whole = 0.3 * rows[0]["hard"] + 0.7 * rows[0]["soft"] + rows[0]["stages"]
    assert rows[0]["loss"] == pytest.approx(whole, rel=1e-5)


def test_teachers_that_do_not_fit_are_refused(
    toy_store: Path, toy_layout: Layout, tmp_path: Path, teacher: Path, other_teacher: Path
) -> None:
    from last_edge.clips.store import ClipStore
    from last_edge.distill.run import check_teachers
    from last_edge.tasks.plan import make_plan

    checkpoint, recipe = load_checkpoint(teacher), load_recipe(None, overrides=STUDENT)
    plan = make_plan(ClipStore.open(toy_store), recipe)
    check_teachers([checkpoint, load_checkpoint(other_teacher)], plan)
    renamed = Layout(**{**vars(toy_layout), "name": "other5"})
    faults: dict[str, dict[str, Any]] = {
        "teacher knows other labels": {"labels": ("a", "b", "c")},
        "teacher reads another layout": {"spec": InputSpec(renamed, frames=16)},
        "teacher reads other points": {"spec": InputSpec(toy_layout, frames=16, channels=2)},
        "teacher reads more bodies": {"spec": InputSpec(toy_layout, frames=16, bodies=2)},
    }
    for named, change in faults.items():
        with pytest.raises(InputError, match=named):
            check_teachers([type(checkpoint)(**{**vars(checkpoint), **change})], plan)
    with pytest.raises(UsageError, match="one weight for each teacher"):
        run_distillation(request(toy_store, tmp_path / "run", "distill.teacher_weights=[1, 2]"), [teacher])


@pytest.mark.parametrize(
    ("name", "model", "weights", "dropout"),
    [("kd_nano", "last_lite_nano", (0.3, 0.7), 0.1), ("kd_small", "last_lite_small", (0.5, 0.5), 0.15)],
)
def test_planned_recipes_hold_the_planned_values(
    toy_layout: Layout, name: str, model: str, weights: tuple[float, float], dropout: float
) -> None:
    recipe = load_recipe(name)
    d, t = recipe.distill, recipe.training
    assert (recipe.model.name, d.a, d.b, d.tau, d.g, d.soft) == (model, *weights, 4.0, 0.1, "kl")
    assert d.losses == [StageLoss(stage, stage, "feature_mse", 1.0) for stage in (1, 2, 3)]
    assert (t.optimizer, t.nesterov, t.lr, t.scheduler, t.warmup_epochs) == ("sgd", True, 0.1, "cosine_warmup", 5)
    assert (t.epochs, t.batch_size, t.label_smoothing, t.gradient_clip) == (120, 64, 0.0, 1.0)
    options = create_model(model, spec=InputSpec(toy_layout, frames=16), classes=3).body.options  # type: ignore[union-attr]
    assert (options.dropout, options.drop_path_rate) == (dropout, 0.0)  # type: ignore[union-attr]
