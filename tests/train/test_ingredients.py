"""Each ingredient of training does its part: a loop without it would fail here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_fits
from last_edge.errors import InputError
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.skeleton import Layout
from last_edge.tasks.config import AugmentConfig
from last_edge.tasks.objective import CrossEntropy
from last_edge.tasks.plan import make_plan
from last_edge.train.optimizer import build_optimizer
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import Run
from last_edge.train.run_folder import claim

QUIET = AugmentConfig(noise_joint=0, noise_velocity=0, noise_bone=0)
SMALL = ["input.frames=16", "training.batch_size=8", "validation.subjects=[1]", "training.epochs=4"]


def begun(toy_store: Path, out: Path, *sets: str) -> Run:
    return Run(Request(load_recipe(None, overrides=[*SMALL, *sets]), toy_store, out))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(8, 16, 5, 3), torch.arange(8) % 3


def test_the_gradient_is_clipped(toy_store: Path, tmp_path: Path) -> None:
    run = begun(toy_store, tmp_path / "run", "training.gradient_clip=0.001")
    torch.manual_seed(0)
    run.trainer.step(*batch())
    squares = [p.grad.square().sum() for p in run.trainer.model.parameters() if p.grad is not None]
    assert float(torch.stack(squares).sum().sqrt()) == pytest.approx(0.001, rel=0.02)


def test_sgd_is_nesterov_with_its_momentum(toy_layout: Layout) -> None:
    model = create_model("last_lite_nano", spec=InputSpec(toy_layout, frames=16), classes=3)
    groups = build_optimizer(model, load_recipe("phase_a").training).param_groups
    assert all(group["nesterov"] and group["momentum"] == 0.9 for group in groups)


@pytest.mark.parametrize(("select", "chosen"), [("best", "epoch-0002"), ("last", "epoch-0004")])
def test_validation_chooses_the_checkpoint(toy_store: Path, tmp_path: Path, select: str, chosen: str) -> None:
    run = begun(toy_store, tmp_path / "run", f"validation.select={select}")
    for epoch, score in enumerate([50.0, 90.0, 70.0, 80.0], start=1):
        run.trainer.progress.step = epoch * run.steps.per_epoch
        run._choose({"epoch": epoch, "val_top1": score, "val_loss": 1.0})
    assert run.trainer.progress.best == chosen


def test_equal_scores_are_decided_by_loss(toy_store: Path, tmp_path: Path) -> None:
    run = begun(toy_store, tmp_path / "run")
    for epoch, loss in enumerate([1.0, 0.5, 0.8], start=1):
        run.trainer.progress.step = epoch * run.steps.per_epoch
        run._choose({"epoch": epoch, "val_top1": 90.0, "val_loss": loss})
    assert run.trainer.progress.best == "epoch-0002"


def test_mixup_mixes_points_and_labels_alike(toy_store: Path, tmp_path: Path) -> None:
    run = begun(toy_store, tmp_path / "run", "training.mixup=0.5")
    taken: list[tuple[torch.Tensor, torch.Tensor]] = []
    inner = CrossEntropy(smoothing=0.0, noise=QUIET, clamp=0.0)

    def objective(model: object, points: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        taken.append((points, targets))
        return inner(model, points, targets)  # type: ignore[arg-type]

    run.trainer.objective = objective  # type: ignore[assignment]
    points, labels = batch()
    run.trainer.step(points, labels)
    mixed, targets = taken[0]
    share = ((mixed - points.flip(0)) / (points - points.flip(0))).median()
    one_hot = torch.eye(3)[labels]
    assert 0.0 < float(share) < 1.0
    torch.testing.assert_close(mixed, share * points + (1 - share) * points.flip(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(targets, share * one_hot + (1 - share) * one_hot.flip(0), atol=1e-4, rtol=1e-4)


PARTIAL = "run.json.123-0a1b2c3d.partial"


@pytest.mark.parametrize("left", [[PARTIAL], ["checkpoints", PARTIAL], ["checkpoints"]])
def test_a_run_killed_before_its_first_pointer_starts_again(tmp_path: Path, left: list[str]) -> None:
    out = tmp_path / "run"
    (out / "checkpoints" / ".epoch-0001.partial").mkdir(parents=True)
    for name in left:
        if not (out / name).exists():
            (out / name).write_text("{")
    assert claim(out, "identity", force=False) is None
    assert not (out / PARTIAL).exists()


def test_points_of_another_shape_are_refused(toy_store: Path) -> None:
    store = ClipStore.open(toy_store)
    flat = InputSpec(store.layout, channels=2)
    with pytest.raises(InputError, match="axes"):
        check_fits(store, flat, store.labels)
    with pytest.raises(InputError, match="bodies"):
        make_plan(store, load_recipe(None, overrides=["input.bodies=2"]))


@pytest.mark.parametrize("override", ["seed=-1", "training.workers=-1", "distill.tau=0", "input.frames=0"])
def test_impossible_numbers_are_refused(override: str) -> None:
    from last_edge.errors import UsageError

    with pytest.raises(UsageError, match=override.split("=")[0]):
        load_recipe(None, overrides=[override])


def test_subject_names_keep_their_zeros() -> None:
    assert load_recipe(None, overrides=["validation.subjects=03,21"]).validation.subjects == ["03", "21"]
