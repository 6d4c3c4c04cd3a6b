"""The training loop's state and one batch at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from last_edge.errors import GateError
from last_edge.models.landmark_model import LandmarkModel
from last_edge.tasks.config import TrainingConfig
from last_edge.tasks.objective import Objective, TimedObjective, helpers_of, parts_of
from last_edge.tasks.task import Row, Truth
from last_edge.train.optimizer import WeightAverage, build_optimizer, learning_rate, load_optimizer
from last_edge.train.processes import Processes, compile_body, resolve_amp, uncompiled

FIRST_LOSS_SCALE = 4096.0
SEED_STRIDE = 1_000_003
RANK_STRIDE = 2**40
SUMS = ("loss", "hits", "seen", "skipped", "overflow")
log = logging.getLogger(__name__)


@dataclass
class Progress:
    """step: batches taken in since the start. totals: this epoch's sums so far. history: one row an epoch."""

    step: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)
    best: str = ""
    best_score: list[float] = field(default_factory=list)


class EpochSums:
    """Sums by name, in double precision where the device has it. Adding waits for no device; reading does once."""

    def __init__(self, device: str) -> None:
        self.names: tuple[str, ...] = SUMS
        # Apple's GPUs have no double precision.
        self.values = torch.zeros(len(SUMS), dtype=torch.float32 if device == "mps" else torch.float64, device=device)

    def add(self, **parts: Tensor | float) -> None:
        """Add to some of the sums; a name never met before starts at 0."""
        self._know(parts)
        for name, part in parts.items():
            self.values[self.names.index(name)] += part

    def add_all(self, other: EpochSums) -> None:
        """Add another set of sums to this one."""
        self._know(other.names)
        self.values[[self.names.index(name) for name in other.names]] += other.values

    def total(self, processes: Processes) -> dict[str, float]:
        """All sums, over all processes, as plain numbers."""
        return dict(zip(self.names, processes.sum(self.values).tolist(), strict=True))

    def write(self, totals: dict[str, float]) -> None:
        """Set the sums to saved ones; those not named become 0."""
        self._know(totals)
        self.values.copy_(torch.tensor([totals.get(name, 0.0) for name in self.names], dtype=self.values.dtype))

    def _know(self, names: Iterable[str]) -> None:
        """Make room for names that are not there yet."""
        new = tuple(name for name in names if name not in self.names)
        self.names += new
        self.values = torch.cat([self.values, self.values.new_zeros(len(new))]) if new else self.values


def not_points(points: Tensor) -> Tensor:
    """() whether points (..., C) hold infinity, or NaN on some axes of a point alone: a missing one has it on all."""
    absent = torch.isnan(points)
    return torch.isinf(points).any() | (absent.any(-1) ^ absent.all(-1)).any()


class Trainer:
    """Model, the objective's helpers, optimiser, averages and scaler; `step` learns from one batch.

    A window of `gradient_accumulation_steps` batches shares one optimiser step and stands or falls as one: the guard
    looks once a window whether an input, a loss or the gradient was not finite, and if so puts the batch-norm
    statistics back and leaves the weights alone. That look is the loop's only wait for the device in a window, and it
    comes when forward and backward passes are already under way; with fp16 the gradient scaler looks once more.

    Random numbers of a batch depend on (seed, step, process) alone, so a resumed run draws what the unbroken one drew.
    """

    def __init__(
        self, model: LandmarkModel, objective: Objective, *, truth: Truth, training: TrainingConfig, seed: int,
        device: str, per_epoch: int, processes: Processes | None = None,
    ) -> None:  # fmt: skip
        self.model, self.processes = model.to(device), processes or Processes()
        self.processes.unite(self.model, device)
        if training.compile:
            compile_body(self.model, device=device, processes=self.processes)
        self.objective, self.truth = objective, truth
        self.training, self.seed, self.device = training, seed, device
        self.helpers = helpers_of(objective).to(device)
        self.processes.unite(self.helpers, device)
        self.per_epoch, self._kind = per_epoch, device.split(":")[0]
        self.optimizer = build_optimizer(model, training, self.helpers)
        self._learned = [*model.parameters(), *self.helpers.parameters()]
        self.average = WeightAverage(model) if training.ema_decay or training.swa_start else None
        self.precision = resolve_amp(training.amp, device)
        self.scaler = torch.amp.GradScaler(
            self._kind, init_scale=FIRST_LOSS_SCALE, enabled=self.precision == torch.float16
        )
        self.progress = Progress()
        self.sums, self._window_sums = EpochSums(device), EpochSums(device)
        self._bad = torch.zeros((), dtype=torch.bool, device=device)
        self._buffers: list[Tensor] = []

    def step(self, points: Tensor, labels: Tensor) -> None:
        """Take in points (N, ...) and labels (N,); the last batch of a window moves the weights."""
        place, size = self._place_in_window()
        if place == 0:
            self._open_window()
        seed = (self.seed * SEED_STRIDE + self.progress.step + self.processes.rank * RANK_STRIDE) % 2**63
        torch.manual_seed(seed)
        points, labels = points.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
        self._bad |= not_points(points)
        mixed, targets = self.truth.targets(points, labels, seed)
        with torch.autocast(self._kind, self.precision, enabled=self.precision != torch.float32):
            loss, logits = self.objective(self.model, mixed, targets)
        # Not sooner: memory freed before the forward pass goes back to the system, a fifth of a step on a processor.
        if place == 0:
            self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss if size == 1 else loss / size).backward()  # type: ignore[no-untyped-call]
        self._note(labels, loss.detach(), logits.detach())
        if place == size - 1:
            self._close_window(size)
        self.progress.step += 1

    @property
    def between_windows(self) -> bool:
        """Whether no gradient is waiting for more batches: where a checkpoint may be taken."""
        return self._place_in_window()[0] == 0

    def _place_in_window(self) -> tuple[int, int]:
        """This batch's place in its window, and the window's size; an epoch's last window may be smaller."""
        accumulate, done = self.training.gradient_accumulation_steps, self.progress.step % self.per_epoch
        place = done % accumulate
        return place, min(accumulate, self.per_epoch - done + place)

    def _open_window(self) -> None:
        epochs_done = self.progress.step / self.per_epoch
        if isinstance(self.objective, TimedObjective):
            self.objective.at(epochs_done / self.training.epochs)
        rate = learning_rate(epochs_done, self.training)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._buffers = [buffer.clone() for buffer in self.model.buffers()]
        self._bad.zero_()
        self._window_sums.write({})

    def _note(self, labels: Tensor, loss: Tensor, logits: Tensor) -> None:
        """Count a batch and look for a loss that is not finite, all on the device."""
        self._bad |= ~torch.isfinite(loss)
        hits = self.truth.hits(logits, labels)
        parts = {
            name: part.detach().to(self.sums.values.dtype) * len(labels)
            for name, part in parts_of(self.objective).items()
        }
        self._window_sums.add(loss=loss.to(self.sums.values.dtype) * len(labels), hits=hits, seen=len(labels), **parts)

    def _close_window(self, size: int) -> None:
        """Move the weights, unless something was not finite."""
        scaled = self.scaler.is_enabled()
        self.processes.average_gradients(self._learned, self._bad)
        if not scaled:
            self._bad |= ~torch.isfinite(self._clip())
        if bool(self._bad):
            self._undo(size)
            return
        if scaled:
            self.scaler.unscale_(self.optimizer)
            self.sums.add(overflow=~torch.isfinite(self._clip()) / self.processes.count)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.sums.add_all(self._window_sums)
        if self.average is not None and self.training.ema_decay:
            self.average.take_exponentially(self.model, decay=self.training.ema_decay, step=self.progress.step)

    def _clip(self) -> Tensor:
        """The gradient's norm, after limiting it to `gradient_clip`."""
        limit = self.training.gradient_clip or float("inf")
        return nn.utils.clip_grad_norm_(self._learned, limit)

    def _undo(self, size: int) -> None:
        """Put batch-norm statistics back as they were before a bad window."""
        for buffer, before in zip(self.model.buffers(), self._buffers, strict=True):
            buffer.copy_(before)
        self.optimizer.zero_grad(set_to_none=True)
        self.sums.add(skipped=float(size))
        log.warning("step %d: an input, the loss or the gradient is not finite; step skipped", self.progress.step)

    def end_epoch(self) -> dict[str, float]:
        """This epoch's sums over all processes, which start again from 0; the equal average takes its share."""
        share = self.progress.step / (self.per_epoch * self.training.epochs)
        if self.average is not None and self.training.swa_start and share >= self.training.swa_start:
            self.average.take_equally(self.model)
        totals = self.sums.total(self.processes)
        self.sums.write({})
        return totals

    def check_learned(self, totals: dict[str, float]) -> None:
        """`GateError` where an epoch with these sums learnt nothing, or left a weight that is no finite number."""
        expected, hint = "finite numbers", "a smaller training.lr, or training.gradient_clip=1; --force starts over"
        if not totals["seen"]:
            got = f"NaN or infinity in the input, the loss or the gradient of all {totals['skipped']:g} steps"
            raise GateError("an epoch took no step", expected=expected, got=got, hint=hint)
        weights = self.model.state_dict() | ({} if self.average is None else self.average.state)
        finite = torch.stack([torch.isfinite(value).all() for value in weights.values()])
        if not bool(finite.all()):
            bad = [name for name, fine in zip(weights, finite.tolist(), strict=True) if not fine]
            got = f"NaN or infinity in {len(bad)} tensors, such as {bad[0]}, after step {self.progress.step}"
            raise GateError("the weights are not finite", expected=expected, got=got, hint=hint)

    def deployed(self) -> dict[str, Tensor]:
        """The weights to evaluate and ship: an average where there is one."""
        if self.average is None or not self.average.count:
            return dict(self.model.state_dict())
        return dict(self.average.state)

    @contextmanager
    def deployed_weights(self) -> Iterator[LandmarkModel]:
        """The model with the weights that would be shipped; the raw ones come back afterwards."""
        raw = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.deployed())
        try:
            with uncompiled() if self.training.compile else nullcontext():
                yield self.model
        finally:
            self.model.load_state_dict(raw)

    def state(self) -> dict[str, Any]:
        """All that a resume needs, tensors and plain values; only between windows, and in every process at once."""
        self.progress.totals = self.sums.total(self.processes)
        return {
            "model": self.model.state_dict(), "helpers": self.helpers.state_dict(),
            "optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else vars(self.average), "progress": vars(self.progress),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved `state`."""
        self.model.load_state_dict(state["model"])
        self.helpers.load_state_dict(state["helpers"])
        load_optimizer(self.optimizer, state["optimizer"])
        if self.scaler.is_enabled() and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            if state["average"] is None:  # it begins here
                self.average = WeightAverage(self.model)
            else:
                self.average.load(state["average"])
        self.progress = Progress(**state["progress"])
        self.sums.write(self.progress.totals if self.processes.first else {})
