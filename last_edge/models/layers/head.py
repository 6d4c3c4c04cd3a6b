"""From feature maps to logits: pooling, one answer out of several bodies, an information bottleneck, the classifier."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from last_edge.models.layers.folding import linear, scale_and_shift
from last_edge.models.layers.pointwise import channels_last

BODIES = ("first", "mean", "max")
BOTTLENECKS = ("none", "norm", "sampled")
WIDEST = 128


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
        return self.fc(self.dropout(normed))

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.pool(x))

    def deployed(self, *, bodies: int) -> EdgeHead | EdgeBodiesHead:
        """Norm and latent's mean in the classifier's weights, the pooling gate too where one body is read."""
        scale, shift = scale_and_shift(self.bn)
        read, bias = self.fc.weight, self.fc.bias
        if self.ib is not None and self.sampled:
            read, bias = read @ self.ib.mu.weight, bias + read @ self.ib.mu.bias  # type: ignore[assignment]
        weight, bias = read * scale, bias + read @ shift  # type: ignore[assignment]
        gate = torch.sigmoid(self.pool_gate).flatten()
        if bodies == 1:
            return EdgeHead(linear(torch.cat([weight * gate, weight * (1 - gate)], dim=1), bias))
        return EdgeBodiesHead(linear(weight, bias), gate=gate)

    def training_only(self) -> tuple[nn.Module, ...]:
        """The bottleneck's layers that no logit depends on outside training."""
        if self.ib is None:
            return ()
        return (self.ib.logvar,) if self.sampled else (self.ib,)


class EdgeHead(nn.Module):
    """Mean and max over time and joints, one linear layer that holds pooling gate, batch norm and classifier."""

    def __init__(self, fc: nn.Linear) -> None:
        super().__init__()
        self.fc = fc

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> logits (N, K)."""
        return self.fc(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))


class EdgeBodiesHead(nn.Module):
    """`GatedHead` of several bodies, whose pooled features are merged in between. gate: (C,), the mean's share."""

    gate: Tensor

    def __init__(self, fc: nn.Linear, *, gate: Tensor) -> None:
        super().__init__()
        self.fc = fc
        self.register_buffer("gate", gate)

    def pool(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> pooled feature (N, C)."""
        return self.gate * x.mean(dim=(2, 3)) + (1.0 - self.gate) * x.amax(dim=(2, 3))

    def classify(self, feature: Tensor) -> Tensor:
        """Pooled feature (N, C) -> logits (N, K)."""
        return self.fc(feature)


class MeanHead(nn.Module):
    """Mean over time and joints, dropout, linear: (N, C, T, V) -> (N, K)."""

    def __init__(self, channels: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.dropout(channels_last(x).mean(dim=(1, 2))))


def present_bodies(streams: Tensor) -> Tensor:
    """(N, M) 1 or 0 of streams (N, M, S*C, T, V): bodies with any value other than 0; the first where there is none.

    The front leaves 0 for what is missing, so a body without a single point is 0 throughout.
    """
    shown = torch.where(streams.abs().amax(dim=(2, 3, 4)) > 0, 1.0, 0.0)
    first = torch.eye(1, streams.shape[1], device=streams.device)
    return shown + first * (1.0 - shown.amax(dim=1, keepdim=True))


def merge_bodies(values: Tensor, present: Tensor, how: str) -> Tensor:
    """Values (N, M, ...) of the present bodies (N, M) -> their `mean` or `max`, or those of the `first`, (N, ...)."""
    if how == "first":
        return values[:, 0]
    weight = present.to(values.dtype)[(..., *([None] * (values.dim() - 2)))]
    if how == "max":
        return torch.where(weight > 0, values, -torch.inf).amax(dim=1)
    return (values * weight).sum(dim=1) / weight.sum(dim=1)


def merge_maps(maps: Tensor, present: Tensor) -> Tensor:
    """Feature maps (N*M, C, T, V) of bodies and which are present (N, M) -> their mean (N, C, T, V)."""
    by_body = maps.reshape(*present.shape, *maps.shape[1:])
    return merge_bodies(by_body.flatten(2), present, "mean").reshape(len(present), *maps.shape[1:])


class InformationBottleneck(nn.Module):
    """Feature (N, C) -> latent (N, min(128, C)): in training a sample of N(mu, exp(logvar)), otherwise mu.

    Alemi et al. 2017; in skeletons, Chi et al. 2022.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = min(WIDEST, channels)
        self.mu = nn.Linear(channels, self.width)
        self.logvar = nn.Linear(channels, self.width)
        self._divergence: Tensor | None = None

    def forward(self, feature: Tensor) -> Tensor:
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
