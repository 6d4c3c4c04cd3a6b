"""Averages of weights and batch-norm statistics over the course of a run."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential average (Polyak): decay * average + (1 - decay) * weights, with a decay that grows at first."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = _copy(model)

    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after optimiser step number `step` (from 0)."""
        _move(self.state, model, 1 - min(self.decay, (1 + step) / (10 + step)))

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from a saved average."""
        for name, value in state.items():
            self.state[name].copy_(value)


class EqualAverage:
    """Stochastic weight averaging (Izmailov et al. 2018): every weight set taken in counts the same.

    Batch-norm statistics are averaged like weights, which spares a pass over the training data; the paper recomputes
    them.
    """

    def __init__(self, model: nn.Module) -> None:
        self.count = 0
        self.state = _copy(model)

    def update(self, model: nn.Module) -> None:
        """Take in the weights as they are now."""
        self.count += 1
        _move(self.state, model, 1 / self.count)

    def load(self, state: dict[str, Tensor], count: int) -> None:
        """Continue from a saved average of `count` weight sets."""
        self.count = count
        for name, value in state.items():
            self.state[name].copy_(value)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@torch.no_grad()
def _move(state: dict[str, Tensor], model: nn.Module, share: float) -> None:
    """Move the average by `share` of the way to the model's weights; counters are taken over."""
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            state[name].lerp_(value, share)
        else:
            state[name].copy_(value)
