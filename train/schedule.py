"""Learning rate as a pure function of the step: nothing to save, nothing to lose on resume."""

from __future__ import annotations

import math

from last_edge.train.config import TrainingConfig


def learning_rate(epoch: float, training: TrainingConfig) -> float:
    """The rate at a fractional epoch: linear warm-up, then a cosine to `min_lr` (Loshchilov & Hutter 2017)."""
    if training.scheduler == "constant":
        return training.lr
    warmup = min(training.warmup_epochs, training.epochs)
    if epoch < warmup:
        return training.warmup_start_lr + (training.lr - training.warmup_start_lr) * epoch / warmup
    progress = min((epoch - warmup) / max(training.epochs - warmup, 1), 1.0)
    return training.min_lr + (training.lr - training.min_lr) * (1 + math.cos(math.pi * progress)) / 2


def epoch_rates(training: TrainingConfig) -> list[float]:
    """The rate at the start of every epoch."""
    return [learning_rate(epoch, training) for epoch in range(training.epochs)]
