"""The training loop's state and one optimiser step at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.models.landmark_model import LandmarkModel
from last_edge.train.config import TrainingConfig
from last_edge.train.ema import WeightAverage
from last_edge.train.objective import Objective
from last_edge.train.optimizer import build_optimizer
from last_edge.train.schedule import learning_rate

FIRST_LOSS_SCALE = 4096.0
SEED_STRIDE = 1_000_003


@dataclass
class Progress:
    """Where a run stands: plain values only, saved with each checkpoint."""

    step: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best: str = ""
    best_score: list[float] = field(default_factory=list)

    def add(self, **values: float) -> None:
        """Add to this epoch's sums."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + value


class Trainer:
    """Model, optimiser, average and scaler; `step` learns from one batch.

    Random numbers of a step depend on (seed, step) alone, so a resumed run draws what the unbroken one drew.
    """

    def __init__(
        self,
        model: LandmarkModel,
        objective: Objective,
        *,
        training: TrainingConfig,
        seed: int,
        device: str,
        per_epoch: int,
    ) -> None:
        self.model = model.to(device)
        self.objective, self.training, self.seed, self.device = objective, training, seed, device
        self.per_epoch = per_epoch
        self.optimizer = build_optimizer(model, training)
        self.average = WeightAverage(model, training.ema_decay) if training.ema_decay else None
        self.precision = resolve_amp(training.amp, device)
        self.scaler = torch.amp.GradScaler(device, init_scale=FIRST_LOSS_SCALE, enabled=self.precision == torch.float16)
        self.progress = Progress()

    def step(self, points: Tensor, labels: Tensor) -> None:
        """One optimiser step on points (N, ...) and labels (N,); a non-finite batch is undone, counted and skipped."""
        seed = (self.seed * SEED_STRIDE + self.progress.step) % 2**63
        torch.manual_seed(seed)
        points, labels = points.to(self.device), labels.to(self.device)
        mixed, targets = self._mix(points, labels, seed)
        buffers = [buffer.clone() for buffer in self.model.buffers()]
        with torch.autocast(self.device.split(":")[0], self.precision, enabled=self.precision != torch.float32):
            loss, logits = self.objective(self.model, mixed, targets)
        if torch.isfinite(points[~torch.isnan(points)]).all() and torch.isfinite(loss):
            self._learn(loss)
            hits = (logits.detach().argmax(1) == labels).sum()
            self.progress.add(loss=float(loss.detach()) * len(labels), hits=float(hits), seen=float(len(labels)))
        else:
            self._undo(buffers)
        self.progress.step += 1

    def _mix(self, points: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Mixup (Zhang et al. 2018) of points and one-hot labels with one weight a batch."""
        targets = nn.functional.one_hot(labels, self.model.body.head.fc.out_features).float()  # type: ignore[union-attr, arg-type]
        if not self.training.mixup:
            return points, targets
        weight = float(np.random.default_rng(seed).beta(self.training.mixup, self.training.mixup))
        return weight * points + (1 - weight) * points.flip(0), weight * targets + (1 - weight) * targets.flip(0)

    def _learn(self, loss: Tensor) -> None:
        rate = learning_rate(self.progress.step / self.per_epoch, self.training)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.training.gradient_clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.training.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update(self.model, self.progress.step)

    def _undo(self, buffers: list[Tensor]) -> None:
        """Put batch-norm statistics back as they were before a bad batch."""
        for buffer, before in zip(self.model.buffers(), buffers, strict=True):
            buffer.copy_(before)
        self.progress.add(skipped=1.0)

    def deployed(self) -> dict[str, Tensor]:
        """The weights to evaluate and ship: the average where there is one."""
        return dict(self.model.state_dict() if self.average is None else self.average.state)

    @contextmanager
    def deployed_weights(self) -> Iterator[LandmarkModel]:
        """The model with the weights that would be shipped; the raw ones come back afterwards."""
        raw = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.deployed())
        try:
            yield self.model
        finally:
            self.model.load_state_dict(raw)

    def state(self) -> dict[str, Any]:
        """All that a resume needs, tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state,
            "progress": vars(self.progress),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved `state`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load(state["average"])
        self.progress = Progress(**state["progress"])


def resolve_amp(amp: str, device: str) -> torch.dtype:
    """The number format of the forward pass; `auto` is fp16 on a GPU and float32 on a CPU."""
    on_gpu = device.startswith("cuda")
    if amp == "fp16" and not on_gpu:
        raise UsageError("training.amp=fp16 needs a GPU", got=device, hint="--set training.amp=bf16")
    named = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return named.get(amp, torch.float16 if on_gpu else torch.float32)
