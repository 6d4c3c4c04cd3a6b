"""The loop's promises: windows of batches, the guard, averages, early stopping, a full disk, few waits."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from last_edge.errors import GateError, InputError, InterruptedRun, MissingError, UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.landmark_model import LandmarkModel
from last_edge.skeleton import Layout
from last_edge.tasks.class_learner import OneHot, cross_entropy
from last_edge.tasks.config import AugmentConfig, TrainingConfig
from last_edge.tasks.objective import CrossEntropy, Objective
from last_edge.train import checkpoint as checkpoint_module
from last_edge.train.checkpoint import checkpoint_folder, load_checkpoint, read_pointer
from last_edge.train.recipe import identity_of, load_recipe
from last_edge.train.request import Request
from last_edge.train.run import Run, StopRequest, epochs_since_best, run_training
from last_edge.train.trainer import Trainer

QUIET = AugmentConfig(noise_joint=0, noise_velocity=0, noise_bone=0)
PLAIN = CrossEntropy(smoothing=0.1, noise=QUIET, clamp=30)
SMALL = ["input.frames=16", "training.batch_size=8", "training.lr=0.01", "validation.subjects=[1]"]


def still(model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy with batch norm on its running statistics and no dropout: the batch's items do not meet."""
    model.eval()
    return PLAIN(model, points, targets)


def trainer(layout: Layout, objective: Objective = PLAIN, *, per_epoch: int = 4, **values: Any) -> Trainer:
    torch.manual_seed(0)
    model = create_model("last_lite_nano", spec=InputSpec(layout, frames=16), classes=3).train()
    training = TrainingConfig(**{"amp": "off", **values})
    truth = OneHot(3, training.mixup)
    return Trainer(model, objective, truth=truth, training=training, seed=1, device="cpu", per_epoch=per_epoch)


def batch(size: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    return torch.randn(size, 16, 5, 3, generator=torch.Generator().manual_seed(seed)), torch.arange(size) % 3


def copied(model: LandmarkModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


def request(store: Path, out: Path, *sets: str) -> Request:
    return Request(load_recipe(None, overrides=[*SMALL, *sets]), store, out)


def test_accumulated_batches_are_one_larger_batch(toy_layout: Layout) -> None:
    one = trainer(toy_layout, still, per_epoch=3)
    two = trainer(toy_layout, still, per_epoch=6, gradient_accumulation_steps=2)
    for number in range(3):
        points, labels = batch(8, number)
        one.step(points, labels)
        for half in (slice(0, 4), slice(4, 8)):
            two.step(points[half], labels[half])
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(two.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    assert one.end_epoch() == pytest.approx(two.end_epoch())


def test_an_epochs_last_window_may_be_smaller(toy_layout: Layout) -> None:
    learner = trainer(toy_layout, per_epoch=5, gradient_accumulation_steps=3)
    moved, between = [], []
    for number in range(5):
        before = copied(learner.model)["body.head.fc.weight"]
        learner.step(*batch(4, number))
        moved.append(not torch.equal(before, learner.model.state_dict()["body.head.fc.weight"]))
        between.append(learner.between_windows)
    assert moved == between == [False, False, True, False, True]


def break_input(points: Tensor) -> Objective:
    points[3, 2, 1] = torch.inf
    return PLAIN


def break_point(points: Tensor) -> Objective:
    """Missing on one axis alone: that is no missing point."""
    points[3, 2, 1, 0] = torch.nan
    return PLAIN


def break_loss(points: Tensor) -> Objective:
    def objective(model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        loss, logits = PLAIN(model, points, targets)
        return loss * torch.nan, logits

    return objective


def break_gradient(points: Tensor) -> Objective:
    def objective(model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        loss, logits = PLAIN(model, points, targets)
        return loss + torch.sqrt((logits - logits.detach()).abs().sum()), logits

    return objective


@pytest.mark.parametrize("break_it", [break_input, break_point, break_loss, break_gradient])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_is_not_finite_leaves_no_trace(
    toy_layout: Layout, caplog: pytest.LogCaptureFixture, break_it: Any, accumulate: int
) -> None:
    learner = trainer(toy_layout, gradient_accumulation_steps=accumulate, ema_decay=0.9)
    for number in range(accumulate):
        learner.step(*batch(8, number))
    before, average = copied(learner.model), {name: value.clone() for name, value in learner.deployed().items()}
    points, labels = batch(8, 9)
    learner.objective = break_it(points)
    with caplog.at_level(logging.WARNING):
        learner.step(points, labels)
        learner.objective = PLAIN
        for number in range(1, accumulate):
            learner.step(*batch(8, number))
    assert same(before, learner.model.state_dict())
    assert same(average, learner.deployed())
    assert "not finite; step skipped" in caplog.text
    totals = learner.end_epoch()
    assert (totals["skipped"], totals["seen"]) == (accumulate, 8 * accumulate)
    learner.step(*batch())
    assert all(value.isfinite().all() for value in learner.model.state_dict().values())


def test_a_missing_point_is_learnt_from(toy_layout: Layout) -> None:
    learner = trainer(toy_layout)
    points, labels = batch()
    points[3, 2, 1] = torch.nan
    learner.step(points, labels)
    assert learner.end_epoch()["skipped"] == 0


def test_an_overflowing_gradient_halves_the_scale_and_moves_nothing(toy_layout: Layout) -> None:
    def steep(model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        loss, logits = PLAIN(model, points, targets)
        return 1000 * loss, logits

    learner = trainer(toy_layout, steep)
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    before = dict(learner.model.named_parameters())["body.head.fc.weight"].clone()
    learner.step(*batch())
    assert torch.equal(before, dict(learner.model.named_parameters())["body.head.fc.weight"])
    assert learner.scaler.get_scale() == 2.0**126
    assert learner.end_epoch()["overflow"] == 1.0
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
    learner.step(*batch())
    assert not torch.equal(before, dict(learner.model.named_parameters())["body.head.fc.weight"])
    assert learner.end_epoch()["overflow"] == 0.0


def test_a_bad_input_is_no_overflow(toy_layout: Layout) -> None:
    learner = trainer(toy_layout)
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
    points, labels = batch()
    points[0] = torch.inf
    learner.step(points, labels)
    learner.step(*batch())
    assert learner.scaler.get_scale() == 4096.0
    totals = learner.end_epoch()
    assert (totals["skipped"], totals["overflow"], totals["seen"]) == (1, 0, 8)


class CountReads(TorchDispatchMode):
    """Counts how often a tensor's value is asked for, which on a GPU means waiting for it."""

    reads = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.reads += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_device_is_asked_once_a_window(toy_layout: Layout, accumulate: int) -> None:
    learner = trainer(toy_layout, gradient_accumulation_steps=accumulate)
    with CountReads() as counter:
        for number in range(4):
            learner.step(*batch(8, number))
    assert counter.reads == 4 // accumulate


def test_equal_average_is_the_mean_of_epoch_ends(toy_store: Path, tmp_path: Path) -> None:
    run = Run(request(toy_store, tmp_path / "run", "training.epochs=4", "training.swa_start=0.5"))
    ends: list[dict[str, Tensor]] = []
    original = run.trainer.end_epoch

    def end_epoch() -> dict[str, float]:
        ends.append(copied(run.trainer.model))
        return original()

    run.trainer.end_epoch = end_epoch  # type: ignore[method-assign]
    run.train(StopRequest())
    shipped = load_checkpoint(tmp_path / "run", "last").model.state_dict()
    assert len(ends) == 4
    for name, value in shipped.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, torch.stack([end[name] for end in ends[1:]]).mean(0))


@pytest.mark.parametrize(
    "sets",
    [
        ["training.gradient_accumulation_steps=2", "training.swa_start=0.4"],
        ["training.optimizer=adamw", "model.drop_path_rate=0.2"],
        ["training.gradient_accumulation_steps=3", "training.scheduler=cosine_warmup_restart", "training.amp=bf16"],
    ],
)
@pytest.mark.parametrize("stop_at", [2, 5])
def test_a_stopped_run_resumes_to_the_same_bits(
    toy_store: Path, tmp_path: Path, stop_after: Callable[[Run, int], StopRequest], sets: list[str], stop_at: int
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_training(request(toy_store, whole, "training.epochs=3", *sets))
    run = Run(request(toy_store, parts, "training.epochs=3", *sets))
    with pytest.raises(InterruptedRun):
        run.train(stop_after(run, stop_at))
    run_training(request(toy_store, parts, "training.epochs=3", *sets))
    left, right = (load_checkpoint(folder, "last").model.state_dict() for folder in (whole, parts))
    assert same(left, right)
    assert (whole / "metrics.jsonl").read_text() == (parts / "metrics.jsonl").read_text()


def test_sigterm_saves_and_the_same_request_goes_on(toy_store: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_training(request(toy_store, whole, "training.epochs=2"))
    batches = 0

    def plain_then_term(recipe: Any, plan: Any, device: str) -> Objective:
        inner = cross_entropy(recipe, plan, device)

        def objective(model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal batches
            batches += 1
            if batches == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return inner(model, points, targets)

        return objective

    with pytest.raises(InterruptedRun, match="a checkpoint is saved"):
        run_training(request(toy_store, parts, "training.epochs=2"), make_objective=plain_then_term)
    assert checkpoint_folder(parts, "last").name == "epoch-0000-step-00002"
    run_training(request(toy_store, parts, "training.epochs=2"))
    left, right = (load_checkpoint(folder, "last").model.state_dict() for folder in (whole, parts))
    assert same(left, right)


def test_patience_ends_a_run_that_no_longer_improves(toy_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    sets = ["training.epochs=30", "training.patience=2", "training.lr=1e-9", "training.scheduler=constant"]
    final = run_training(request(toy_store, out, *sets, "training.momentum=0", "training.nesterov=false"))
    history = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert final["epochs"] == len(history) < 30
    assert epochs_since_best(history) == 2
    pointer = read_pointer(out)
    assert pointer is not None and pointer.finished
    with pytest.raises(UsageError, match="finished"):
        run_training(request(toy_store, out, *sets, "training.momentum=0", "training.nesterov=false"))


@pytest.mark.parametrize("average", ["training.ema_decay=0", "training.ema_decay=0.9"])
def test_a_run_whose_weights_are_lost_fails(toy_store: Path, tmp_path: Path, average: str) -> None:
    run = Run(request(toy_store, tmp_path / "run", "training.epochs=2", average))
    take = run.trainer.optimizer.step

    def overshoot(*arguments: Any) -> Any:
        done = take(*arguments)
        with torch.no_grad():
            next(run.trainer.model.parameters()).fill_(torch.nan)
        return done

    run.trainer.optimizer.step = overshoot  # type: ignore[method-assign]
    with StopRequest() as stop, pytest.raises(GateError, match="the weights are not finite"):
        run.train(stop)
    assert read_pointer(tmp_path / "run") is None


def test_a_run_that_takes_no_step_fails(toy_store: Path, tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"took no step|not finite") as error:
        run_training(request(toy_store, tmp_path / "run", "training.epochs=3", "training.lr=1e30"))
    assert error.value.exit_code == 4 and "training.lr" in error.value.render()


def test_patience_counts_from_the_last_best_epoch() -> None:
    rows = [{"val_top1": top1, "val_loss": loss} for top1, loss in ((50, 1.0), (60, 1.0), (60, 0.9), (55, 0.1))]
    assert [epochs_since_best(rows[:count]) for count in range(1, 5)] == [0, 0, 0, 1]
    assert epochs_since_best([{"loss": 1.0}]) == 0


def test_patience_counts_the_epochs_between_two_validations_too() -> None:
    rows = [{"loss": 1.0}, {"val_top1": 50, "val_loss": 1.0}, {"loss": 1.0}, {"val_top1": 40, "val_loss": 1.0}]
    assert [epochs_since_best(rows[:count]) for count in range(1, 5)] == [0, 0, 1, 2]


def test_an_epoch_that_was_not_validated_is_never_better_than_one_that_was(toy_store: Path, tmp_path: Path) -> None:
    run = Run(request(toy_store, tmp_path / "run", "validation.every=2"))
    progress, chosen = run.trainer.progress, []
    for row in ({"epoch": 7}, {"epoch": 8, "val_top1": 0.0, "val_loss": 9.0}, {"epoch": 9}):
        before = progress.best_score
        run._choose(row)
        chosen.append(progress.best_score != before)
    assert chosen == [True, True, False], "the first of all, then the one with a score, however low"


def test_a_flat_score_is_no_improvement() -> None:
    assert epochs_since_best([{"val_top1": 50, "val_loss": 1.0}] * 4) == 3


def test_patience_needs_validation(toy_store: Path, tmp_path: Path) -> None:
    sets = ["training.patience=2", "validation.subjects=[]", "validation.fraction=0"]
    with pytest.raises(UsageError, match="needs validation"):
        Run(request(toy_store, tmp_path / "run", *sets))


def test_a_full_disk_leaves_the_checkpoint_before_whole(
    toy_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "run"
    run_training(request(toy_store, whole, "training.epochs=3"))
    write = checkpoint_module.write_text

    def no_space(path: Path, text: str) -> None:
        if path.name == "env.json" and read_pointer(out) is not None:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module, "write_text", no_space)
        with pytest.raises(MissingError, match="no space left"):
            run_training(request(toy_store, out, "training.epochs=3"))
    assert [folder.name for folder in (out / "checkpoints").iterdir()] == ["epoch-0001"]
    load_checkpoint(out, "last")
    run_training(request(toy_store, out, "training.epochs=3"))
    assert same(load_checkpoint(whole, "last").model.state_dict(), load_checkpoint(out, "last").model.state_dict())


def test_best_last_and_final(toy_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = Run(request(toy_store, out, "training.epochs=2"))
    stop = StopRequest()
    stop.wanted = True
    with pytest.raises(InterruptedRun):
        run.train(stop)
    with pytest.raises(InputError, match="not finished"):
        checkpoint_folder(out, "final")
    run_training(request(toy_store, out, "training.epochs=2"))
    assert checkpoint_folder(out, "final") == checkpoint_folder(out, "last")
    assert checkpoint_folder(out, "final").name == "epoch-0002"


def test_kept_checkpoints(toy_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_training(request(toy_store, out, "training.epochs=5", "training.save_interval=2"))
    names = {folder.name for folder in (out / "checkpoints").iterdir()}
    assert {"epoch-0002", "epoch-0004", "epoch-0005"} <= names
    assert len(names) <= 4


def test_tensorboard_gets_each_epochs_row(toy_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path / "run" / "tensorboard")

        def flush(self) -> None:
            pass

        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            written.append((name, value, epoch))

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    run_training(request(toy_store, tmp_path / "run", "training.epochs=2", "training.tensorboard=true"))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [item for item in written if item[0] == "loss"] == [("loss", row["loss"], row["epoch"]) for row in rows]
    assert {name for name, _, _ in written} == set(rows[0]) - {"epoch"}


def test_absent_tensorboard_is_told_before_training(
    toy_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingError, match=r"last-edge\[tensorboard\]"):
        run_training(request(toy_store, tmp_path / "run", "training.tensorboard=true"))


def test_the_bottleneck_term_is_weighed_in(toy_layout: Layout) -> None:
    model = create_model("last_e_base", spec=InputSpec(toy_layout, frames=16), classes=3).train()
    points, labels = batch(4)
    targets = torch.nn.functional.one_hot(labels, 3).float()
    losses = []
    for weight in (0.0, 0.01):
        torch.manual_seed(0)
        objective = CrossEntropy(smoothing=0.1, noise=QUIET, clamp=30, ib_weight=weight)
        losses.append(objective(model, points, targets)[0])
    extra = model.auxiliary_loss()
    assert extra is not None and extra.detach() > 0
    torch.testing.assert_close((losses[1] - losses[0]).detach(), 0.01 * extra.detach(), rtol=1e-3, atol=1e-6)


def test_identity_is_what_decides_a_run() -> None:
    plain = identity_of(load_recipe("shrec17"))
    for same in ("training.tensorboard=true", "training.init=elsewhere", "quantize.clips=10"):
        assert identity_of(load_recipe("shrec17", overrides=[same])) == plain
    for other in ("training.patience=3", "training.fused=off", "distill.soft=dkd", "augment.bones=0.1", "seed=1"):
        assert identity_of(load_recipe("shrec17", overrides=[other])) != plain


def test_feature_maps_and_their_gradients_lie_channels_last(toy_layout: Layout) -> None:
    """What makes a step fast on a processor; one map in another order sends its neighbours into slow code."""
    learner, orders = trainer(toy_layout), list[bool]()
    for part in learner.model.modules():
        if isinstance(part, torch.nn.Conv2d):
            part.register_forward_hook(lambda _, __, out: orders.append(in_channels_last(out)))
            part.register_full_backward_hook(lambda _, __, grads: orders.append(in_channels_last(grads[0])))
    learner.step(*batch())
    assert orders and all(orders)


def in_channels_last(features: Tensor) -> bool:
    return features.is_contiguous(memory_format=torch.channels_last)


def test_averages_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        load_recipe("shrec17", overrides=["training.swa_start=0.75"])
