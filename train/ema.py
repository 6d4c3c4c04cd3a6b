"""Exponential moving average of weights and batch-norm statistics (Polyak averaging)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keeps average = decay * average + (1 - decay) * weights, with a decay that grows in the first steps."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after optimiser step number `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from a saved average."""
        for name, value in state.items():
            self.state[name].copy_(value)
