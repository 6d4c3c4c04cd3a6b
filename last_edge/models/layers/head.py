"""Pooling and classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.models.layers.bottleneck import InformationBottleneck
from last_edge.models.layers.pointwise import channels_last


class GatedHead(nn.Module):
    """f = g * mean + (1 - g) * max over time and joints, batch norm, dropout, linear: (N, C, T, V) -> (N, K).

    g = sigmoid(pool_gate) a channel, started at one half.
    ib `norm`: a bottleneck reads f in training, for its divergence alone. `sampled`: its latent is what is classified.
    """

    def __init__(self, channels: int, classes: int, *, dropout: float, ib: str = "none") -> None:
        super().__init__()
        self.pool_gate = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.bn = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        self.ib = InformationBottleneck(channels) if ib != "none" else None
        self.sampled = ib == "sampled"
        width = self.ib.width if self.ib is not None and self.sampled else channels
        self.fc = nn.Linear(width, classes)

    def pool(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> pooled feature (N, C)."""
        gate = torch.sigmoid(self.pool_gate).flatten(1)
        rows = channels_last(x)
        return gate * rows.mean(dim=(1, 2)) + (1 - gate) * rows.amax(dim=(1, 2))

    def classify(self, feature: Tensor) -> Tensor:
        """Pooled feature (N, C) -> logits (N, K)."""
        normed = self.bn(feature)
        if self.ib is not None and self.sampled:
            normed = self.ib(normed)
        elif self.ib is not None and self.training:
            self.ib(feature)
        return self.fc(self.dropout(normed))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.classify(self.pool(x))

    def training_only(self) -> tuple[nn.Module, ...]:
        """The bottleneck's layers that no logit depends on outside training."""
        if self.ib is None:
            return ()
        return (self.ib.logvar,) if self.sampled else (self.ib,)


class MeanHead(nn.Module):
    """Mean over time and joints, dropout, linear: (N, C, T, V) -> (N, K)."""

    def __init__(self, channels: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.fc(self.dropout(channels_last(x).mean(dim=(1, 2))))  # type: ignore[no-any-return]
