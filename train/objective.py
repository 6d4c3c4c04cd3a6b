"""Training losses. An objective maps a model and a batch to one scalar; distillation brings its own."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from last_edge.models.landmark_model import LandmarkModel
from last_edge.train.config import AugmentConfig


class Objective(Protocol):
    """(model, points, targets) -> (loss, logits). targets: (N, K) class probabilities."""

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]: ...


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Mean cross entropy against (1 - s) * target + s / K, in float32."""
    return nn.functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing)


def training_logits(model: LandmarkModel, points: Tensor, *, noise: AugmentConfig, clamp: float) -> Tensor:
    """Logits of a training batch: streams with their own noise, clamped against tracking glitches.

    Exact zeros, missing points and absent bodies among them, stay zero.
    """
    streams = model.front(points)
    sizes = {"joint": noise.noise_joint, "velocity": noise.noise_velocity, "bone": noise.noise_bone}
    if any(sizes.values()):
        scale = torch.tensor([sizes[name] for name in model.spec.streams], device=streams.device)
        per_channel = scale.repeat_interleave(model.spec.channels)[:, None, None]
        streams = streams + torch.randn_like(streams) * per_channel * (streams != 0)
    return model.from_streams(streams.clamp(-clamp, clamp) if clamp else streams)


class CrossEntropy:
    """Label-smoothed cross entropy on noisy streams, plus `ib_weight` times the model's own term where it has one."""

    def __init__(self, *, smoothing: float, noise: AugmentConfig, clamp: float, ib_weight: float = 0.0) -> None:
        self.smoothing, self.noise, self.clamp, self.ib_weight = smoothing, noise, clamp, ib_weight

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See `Objective`."""
        logits = training_logits(model, points, noise=self.noise, clamp=self.clamp)
        loss, bottleneck = smoothed_cross_entropy(logits, targets, self.smoothing), model.auxiliary_loss()
        return (loss if bottleneck is None else loss + self.ib_weight * bottleneck), logits
