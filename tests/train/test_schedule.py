"""The schedules meet the marks of the training document, and the phases' recipes carry its table."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler

from last_edge.errors import UsageError
from last_edge.tasks.config import TrainingConfig
from last_edge.train.optimizer import epoch_rates, final_rate, learning_rate, restarts
from last_edge.train.processes import resolve_amp
from last_edge.train.recipe import load_recipe
from last_edge.train.request import hyperparameters

PHASES = ("phase_a", "phase_b", "phase_d", "phase_abd", "legacy_multistep")
WARM_UP = [0.01, 0.028, 0.046, 0.064, 0.082, 0.1]


@pytest.mark.parametrize("name", PHASES)
def test_warm_up_is_linear_over_five_epochs(name: str) -> None:
    assert epoch_rates(load_recipe(name).training)[:6] == pytest.approx(WARM_UP)


def test_one_cosine_falls_from_epoch_5_to_90() -> None:
    training = load_recipe("phase_a").training
    rates = epoch_rates(training)
    assert len(rates) == 90
    assert all(early > late for early, late in zip(rates[5:], rates[6:], strict=False))
    assert final_rate(training) == pytest.approx(0.0001)
    assert learning_rate(47.5, training) == pytest.approx((0.1 + 0.0001) / 2)


def test_restarts_at_35_and_65_and_ends_at_a_minimum() -> None:
    training = load_recipe("phase_d").training
    rates = epoch_rates(training)
    assert [epoch for epoch, rate in enumerate(rates) if rate == 0.1] == [5, 35, 65]
    assert restarts(training) == [35, 65, 95]
    for end in (35, 65, 95):
        assert learning_rate(end - 1e-9, training) == pytest.approx(0.0001, abs=1e-9)
    assert (training.epochs, final_rate(training)) == (95, pytest.approx(0.0001))
    assert rates[20] == pytest.approx((0.1 + 0.0001) / 2)


def test_the_documents_ninety_epochs_stop_in_the_third_cycle() -> None:
    training = load_recipe("phase_abd", overrides=["training.epochs=90"]).training
    assert len(epoch_rates(training)) == 90
    assert restarts(training) == [35, 65]
    assert final_rate(training) > 0.006


def test_cycles_grow_by_the_multiplier() -> None:
    training = TrainingConfig(scheduler="cosine_warmup_restart", epochs=75, restart_period=10, restart_mult=2)
    rates = epoch_rates(training)
    assert [epoch for epoch, rate in enumerate(rates) if rate == 0.1] == [5, 15, 35]
    assert restarts(training) == [15, 35, 75]


def test_steps_down_at_50_and_65() -> None:
    rates = epoch_rates(load_recipe("legacy_multistep").training)
    assert set(rates[5:50]) == {0.1}
    assert rates[50:65] == pytest.approx([0.01] * 15)
    assert rates[65:] == pytest.approx([0.001] * 25)


def test_agrees_with_torch_at_every_epoch() -> None:
    """torch's own schedulers, put together as the document says, give the same rate in each epoch."""
    training = load_recipe("phase_d").training
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    warm = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=5)
    cycles = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=30, T_mult=1, eta_min=0.0001)
    both = lr_scheduler.SequentialLR(optimizer, [warm, cycles], milestones=[5])
    expected = []
    for _ in range(training.epochs):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        both.step()
    assert epoch_rates(training) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["phase_a", "phase_b", "phase_d", "phase_abd"])
def test_phases_carry_the_documents_table(name: str) -> None:
    recipe = load_recipe(name)
    t = recipe.training
    assert (t.batch_size, t.gradient_accumulation_steps, recipe.input.frames, recipe.seed) == (32, 2, 64, 42)
    assert (t.optimizer, t.lr, t.momentum, t.nesterov, t.weight_decay) == ("sgd", 0.1, 0.9, True, 0.0004)
    assert (t.label_smoothing, t.gradient_clip, t.ib_loss_weight, t.save_interval) == (0.1, 1.0, 0.01, 10)
    assert recipe.model.name == "last_e_base"
    assert recipe.model.options["drop_path_rate"] == 0.15
    attention = recipe.model.options.get("use_st_att")
    assert attention == ([False, False, True] if name in ("phase_b", "phase_abd") else None)
    assert t.scheduler == ("cosine_warmup_restart" if name in ("phase_d", "phase_abd") else "cosine_warmup")


@pytest.mark.parametrize("value", ["training.restart_period=0", "training.restart_mult=0", "training.warmup_epochs=-2"])
def test_a_schedule_that_cannot_be_is_named(value: str) -> None:
    with pytest.raises(UsageError, match=value.split("=")[0]):
        load_recipe(None, overrides=[value])


@pytest.mark.parametrize(("epochs", "warmup"), [(1500, 150), (60, 10), (6, 6)])
def test_warm_up_over_a_tenth_of_the_run(epochs: int, warmup: int) -> None:
    training = load_recipe("asl_augmented", overrides=[f"training.epochs={epochs}"]).training
    assert learning_rate(0, training) == pytest.approx(1e-6)
    assert learning_rate(warmup / 2, training) == pytest.approx((1e-6 + 1e-4) / 2)
    if epochs > warmup:
        assert learning_rate(warmup, training) == pytest.approx(1e-4)
        assert learning_rate(epochs, training) == pytest.approx(1e-6)


def test_the_warm_up_starts_at_a_share_of_any_rate() -> None:
    training = load_recipe("asl_original", overrides=["training.lr=0.002"]).training
    assert learning_rate(0, training) == pytest.approx(0.00002)


def test_a_cosine_by_epochs_moves_once_an_epoch_and_its_warm_up_with_every_step() -> None:
    sets = ["training.scheduler=cosine_warmup_epochs", "training.epochs=20"]
    training = load_recipe(None, overrides=sets).training
    smooth = load_recipe(None, overrides=sets[1:]).training
    assert learning_rate(2.5, training) == learning_rate(2.5, smooth) != learning_rate(2, training)
    assert learning_rate(9.9, training) == learning_rate(9, training) == learning_rate(9, smooth)
    assert epoch_rates(training) == epoch_rates(smooth)


def test_the_summary_names_what_counts() -> None:
    lines = "\n".join(hyperparameters(load_recipe("asl_augmented")))
    assert "warm-up 1e-06 -> 0.0001 over 150 epochs (a tenth of the run, at least 10)" in lines
    assert "then one cosine 0.0001 -> 1e-06 over 1350 epochs" in lines
    assert "AdamW, rate 0.0001, weight decay 0.001, betas 0.9, 0.999" in lines
    assert "early stopping: off, all 1500 epochs" in lines
    changed = ["training.loss=focal", "training.class_weights=balanced", "training.patience=30", "model.dropout=0.25"]
    lines = "\n".join(hyperparameters(load_recipe("asl_augmented", overrides=changed)))
    assert "focal, gamma 2, classes weighted by their clips" in lines
    softened = hyperparameters(load_recipe("asl_augmented", overrides=["training.class_weights=softened"]))
    assert "weighted by the square root of their clips" in "\n".join(softened)
    assert "after 30 epochs without a better validation score" in lines and "dropout: 0.25" in lines


def test_mixed_precision_that_a_processor_does_without_is_told_or_refused() -> None:
    recipe = load_recipe(None, overrides=["training.amp=auto"])
    assert "mixed precision: off: auto is fp16 on a GPU alone; --set training.amp=bf16" in "\n".join(
        hyperparameters(recipe)
    )
    assert "mixed precision: auto" in hyperparameters(recipe, device="cuda")
    with pytest.raises(UsageError, match="needs a GPU"):
        resolve_amp("fp16", "cpu")


@pytest.mark.parametrize("scheduler", ["constant", "cosine_warmup_restart", "multistep_warmup", "cosine_warmup_epochs"])
def test_every_schedule_has_words(scheduler: str) -> None:
    assert hyperparameters(load_recipe(None, overrides=[f"training.scheduler={scheduler}"]))[-1].startswith("schedule:")
