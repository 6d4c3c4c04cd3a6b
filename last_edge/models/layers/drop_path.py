"""Stochastic depth (Huang et al. 2016), one coin a sample."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """In training, zero a sample's branch with probability `rate` and rescale the kept ones by 1 / (1 - rate)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> same."""
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        coin = torch.rand((x.shape[0],) + (1,) * (x.dim() - 1), device=x.device) < keep
        return x * coin.to(x.dtype) / keep


def ramp(highest: float, blocks: int) -> list[float]:
    """Drop rates of `blocks` blocks, linear from 0 to `highest`."""
    return [highest * index / max(blocks - 1, 1) for index in range(blocks)]
