"""Variational information bottleneck on a pooled feature (Alemi et al. 2017; in skeletons, Chi et al. 2022)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BOTTLENECKS = ("none", "norm", "sampled")
WIDEST = 128


class InformationBottleneck(nn.Module):
    """Feature (N, C) -> latent (N, min(128, C)): in training a sample of N(mu, exp(logvar)), otherwise mu."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = min(WIDEST, channels)
        self.mu = nn.Linear(channels, self.width)
        self.logvar = nn.Linear(channels, self.width)
        self._divergence: Tensor | None = None

    def forward(self, feature: Tensor) -> Tensor:
        """See the class."""
        mu: Tensor = self.mu(feature)
        if not self.training:
            return mu
        mu, logvar = mu.float(), self.logvar(feature).float()
        self._divergence = divergence(mu, logvar)
        return mu + torch.randn_like(mu) * torch.exp(logvar / 2)

    def divergence(self) -> Tensor | None:
        """KL from N(0, 1) of the last forward pass in training, mean over the batch; None outside training."""
        return self._divergence if self.training else None

    def __getstate__(self) -> dict[str, Any]:
        """Without the last divergence: it belongs to a graph, which can be neither copied nor pickled."""
        return {**self.__dict__, "_divergence": None}


def divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """-1/2 * sum(1 + logvar - mu^2 - exp(logvar)) over the width, mean over the batch: two (N, C) -> scalar."""
    each: Tensor = 1 + logvar - mu.square() - logvar.exp()
    return -0.5 * each.sum(1).mean()
