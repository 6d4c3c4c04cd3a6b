"""Optimisers, their weight-decay groups, and averages of the weights over the course of a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from last_edge.errors import UsageError
from last_edge.tasks.config import TrainingConfig

NORMS = (_BatchNorm, nn.LayerNorm)
FREE_SCALARS = ("alpha", "edge", "pool_gate", "A_learned", "stream_weights", "cls", "positions", "table")
FUSED_ON = ("cpu", "cuda")


def decay_groups(model: nn.Module) -> dict[str, list[str]]:
    """Parameter names that decay and that do not: biases, norms and the learned structure go free."""
    free = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
        if isinstance(module, NORMS) or name == "bias" or name in FREE_SCALARS
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
    """Continue from a saved state; its settings are those that the optimiser was built with, not the state's."""
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
