"""Optimisers, their weight-decay groups, averages of the weights, and the learning rate over the course of a run."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from last_edge.errors import InputError, UsageError
from last_edge.models.layers.gcn import SubsetGate
from last_edge.tasks.config import TrainingConfig

NORMS = (_BatchNorm, nn.LayerNorm)
FREE = (*NORMS, SubsetGate)
FREE_SCALARS = ("alpha", "edge", "pool_gate", "A_learned", "stream_weights", "cls", "positions", "table")
FUSED_ON = ("cpu", "cuda")


def decay_groups(model: nn.Module) -> dict[str, list[str]]:
    """Parameter names that decay and that do not: biases, norms, gates of subsets and the learned structure go free."""
    free = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
        if isinstance(module, FREE) or name == "bias" or name in FREE_SCALARS
    }
    names = [name for name, _ in model.named_parameters()]
    return {"decay": [n for n in names if n not in free], "no_decay": [n for n in names if n in free]}


def build_optimizer(
    model: nn.Module, training: TrainingConfig, helpers: nn.Module | None = None
) -> torch.optim.Optimizer:
    """SGD or AdamW with two groups over the model and its helpers; the loop sets the rate at every step."""
    modules = [model] if helpers is None else [model, helpers]
    parts = [
        {"params": _grouped(modules, "decay"), "weight_decay": training.weight_decay},
        {"params": _grouped(modules, "no_decay"), "weight_decay": 0.0},
    ]
    fused = resolve_fused(training.fused, next(model.parameters()).device.type)
    if training.optimizer == "adamw":
        return torch.optim.AdamW(parts, lr=training.lr, fused=fused)
    return torch.optim.SGD(parts, lr=training.lr, momentum=training.momentum, nesterov=training.nesterov, fused=fused)


def resolve_fused(fused: str, kind: str) -> bool | None:
    """Whether one call moves all weights; None leaves torch the choice among its other ways."""
    if fused == "on" and kind not in FUSED_ON:
        hint = "--set training.fused=auto"
        raise UsageError("no fused optimiser on this device", expected=", ".join(FUSED_ON), got=kind, hint=hint)
    return True if fused != "off" and kind in FUSED_ON else None


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Continue from a saved state; its settings are those that the optimiser was built with, not the state's.

    `InputError` for a state of other groups, as runs have that were begun before a weight changed its group.
    """
    expected, got = ([len(group["params"]) for group in one["param_groups"]] for one in (optimizer.state_dict(), state))
    if expected != got:
        what = "the run was begun with other groups of weight decay"
        raise InputError(what, expected=expected, got=got, hint="--force starts over, --init RUN from its weights")
    groups = [
        {**built, "params": group["params"]}
        for built, group in zip(optimizer.param_groups, state["param_groups"], strict=True)
    ]
    optimizer.load_state_dict(state | {"param_groups": groups})


def _grouped(modules: list[nn.Module], group: str) -> list[nn.Parameter]:
    """The parameters of several modules that are in one of the groups."""
    return [module.get_parameter(name) for module in modules for name in decay_groups(module)[group]]


class WeightAverage:
    """Average of a model's weights and batch-norm statistics over the course of a run; batch counters are taken over.

    torch.optim.swa_utils' AveragedModel is not used: it overwrites the average at its first update, where the
    exponential one starts from the first weights, averages the batch counters too, and holds a copy of the module, of
    whose compiled body there can be none.
    """

    def __init__(self, model: nn.Module) -> None:
        self.count = 0
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def take(self, model: nn.Module, share: float) -> None:
        """Move the average by `share` of the way to the model's weights."""
        self.count += 1
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, share)
            else:
                self.state[name].copy_(value)

    def take_exponentially(self, model: nn.Module, *, decay: float, step: int) -> None:
        """Polyak's: decay * average + (1 - decay) * weights after step number `step`; the decay grows at first."""
        self.take(model, 1 - min(decay, (1 + step) / (10 + step)))

    def take_equally(self, model: nn.Module) -> None:
        """Stochastic weight averaging (Izmailov et al. 2018): every weight set taken in counts the same.

        Batch-norm statistics are averaged like weights, which spares a pass over the training data; the paper
        recomputes them.
        """
        self.take(model, 1 / (self.count + 1))

    def load(self, saved: dict[str, Any]) -> None:
        """Continue from a saved `vars` of an average."""
        self.count = saved["count"]
        for name, value in saved["state"].items():
            self.state[name].copy_(value)


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
