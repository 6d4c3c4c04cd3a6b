"""What tells a transformer where in time a token stands."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

BASE = 10_000.0


def sinusoidal(length: int, width: int) -> Tensor:
    """(length, width): sin(p / 10000^(2i/D)) in even columns, the cosine in odd ones (Vaswani et al. 2017, 3.5)."""
    places = torch.arange(length, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(BASE) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(places * rates)
    table[:, 1::2] = torch.cos(places * rates)[:, : width // 2]
    return table


class Positions(nn.Module):
    """Adds a place to each token: (N, L, D) -> (N, L, D).

    sinusoidal: a fixed table; else the legacy one, which starts at random, N(0, 1), and is learnt.
    """

    table: Tensor

    def __init__(self, length: int, width: int, *, fixed: bool) -> None:
        super().__init__()
        if fixed:
            self.register_buffer("table", sinusoidal(length, width), persistent=False)
        else:
            self.table = nn.Parameter(torch.randn(length, width))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x + self.table
