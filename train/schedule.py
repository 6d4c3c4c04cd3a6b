"""Learning rate as a pure function of the step: nothing to save, nothing to lose on resume."""

from __future__ import annotations

import math
from collections.abc import Callable

from last_edge.tasks.config import TrainingConfig

LEAST_TENTH = 10


def learning_rate(epoch: float, training: TrainingConfig) -> float:
    """The rate at a fractional epoch, from 0 at the start to `epochs` at the end.

    `constant` never moves; the others warm up linearly and then follow their own curve.
    """
    if training.scheduler == "constant":
        return training.lr
    warmup = warmup_length(training)
    if epoch < warmup:
        start = warmup_start(training)
        return start + (training.lr - start) * epoch / warmup
    return AFTER_WARMUP[training.scheduler](epoch, training)


def warmup_length(training: TrainingConfig) -> int:
    """Epochs of warm-up, no more than the run has; -1 asks for a tenth of the run, at least ten."""
    asked = training.warmup_epochs
    return min(max(training.epochs // 10, LEAST_TENTH) if asked < 0 else asked, training.epochs)


def warmup_start(training: TrainingConfig) -> float:
    """The rate at the very first step."""
    share = training.warmup_start_share
    return share * training.lr if share else training.warmup_start_lr


def one_cosine(epoch: float, training: TrainingConfig) -> float:
    """From `lr` to `min_lr` in one half cosine that ends with the run (Loshchilov & Hutter 2017, without restarts)."""
    warmup = warmup_length(training)
    return _cosine(min((epoch - warmup) / max(training.epochs - warmup, 1), 1.0), training)


def cosine_by_epochs(epoch: float, training: TrainingConfig) -> float:
    """`one_cosine` that holds its rate for a whole epoch."""
    return one_cosine(math.floor(epoch), training)


def cosine_with_restarts(epoch: float, training: TrainingConfig) -> float:
    """SGDR (Loshchilov & Hutter 2017, eq. 5): cycles whose rate is back at `lr` in the epoch where the next begins."""
    start, length = warmup_length(training), training.restart_period
    while epoch >= start + length:
        start, length = start + length, length * training.restart_mult
    return _cosine((epoch - start) / length, training)


def steps_down(epoch: float, training: TrainingConfig) -> float:
    """`lr` times `gamma` for every milestone passed; milestones count from the first epoch, warm-up included."""
    return training.lr * training.gamma ** sum(epoch >= milestone for milestone in training.milestones)


AFTER_WARMUP: dict[str, Callable[[float, TrainingConfig], float]] = {
    "cosine_warmup": one_cosine,
    "cosine_warmup_epochs": cosine_by_epochs,
    "cosine_warmup_restart": cosine_with_restarts,
    "multistep_warmup": steps_down,
}


def _cosine(progress: float, training: TrainingConfig) -> float:
    return training.min_lr + (training.lr - training.min_lr) * (1 + math.cos(math.pi * progress)) / 2


def epoch_rates(training: TrainingConfig) -> list[float]:
    """The rate at the start of every epoch."""
    return [learning_rate(epoch, training) for epoch in range(training.epochs)]


def final_rate(training: TrainingConfig) -> float:
    """The rate that the last step approaches, just before the last epoch ends."""
    return learning_rate(math.nextafter(training.epochs, 0.0), training)


def restarts(training: TrainingConfig) -> list[int]:
    """Epochs at which a cycle of `cosine_warmup_restart` ends, up to the end of the run: best places to stop."""
    if training.scheduler != "cosine_warmup_restart":
        return []
    ends, length = [], training.restart_period
    end = warmup_length(training) + length
    while end <= training.epochs:
        ends.append(end)
        length *= training.restart_mult
        end += length
    return ends
