"""Pooling and classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GatedHead(nn.Module):
    """f = g * mean + (1 - g) * max over time and joints, batch norm, dropout, linear: (N, C, T, V) -> (N, K).

    g = sigmoid(pool_gate) a channel, started at one half.
    """

    def __init__(self, channels: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.pool_gate = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.bn = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, classes)

    def pool(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> pooled feature (N, C)."""
        gate = torch.sigmoid(self.pool_gate).flatten(1)
        return gate * x.mean(dim=(2, 3)) + (1 - gate) * x.amax(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.fc(self.dropout(self.bn(self.pool(x))))  # type: ignore[no-any-return]
