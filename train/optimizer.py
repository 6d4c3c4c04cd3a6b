"""Optimisers and their weight-decay groups."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from last_edge.train.config import TrainingConfig

NORMS = (_BatchNorm, nn.LayerNorm)
FREE_SCALARS = ("alpha", "edge", "pool_gate", "A_learned", "stream_weights")


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


def build_optimizer(model: nn.Module, training: TrainingConfig) -> torch.optim.Optimizer:
    """SGD or AdamW with two groups; the loop sets the rate at every step."""
    parameters, groups = dict(model.named_parameters()), decay_groups(model)
    parts = [
        {"params": [parameters[name] for name in groups["decay"]], "weight_decay": training.weight_decay},
        {"params": [parameters[name] for name in groups["no_decay"]], "weight_decay": 0.0},
    ]
    if training.optimizer == "adamw":
        return torch.optim.AdamW(parts, lr=training.lr)
    return torch.optim.SGD(parts, lr=training.lr, momentum=training.momentum, nesterov=training.nesterov)
