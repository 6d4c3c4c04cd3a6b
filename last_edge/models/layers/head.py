"""Both ends of a body: input streams joined into one feature map, and feature maps read as logits.

Reading is pooling, one answer out of several bodies, an information bottleneck and the classifier.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from last_edge.models.layers.folding import bn_conv, conv_bn, linear, pointwise, scale_and_shift, scales_and_shifts
from last_edge.models.layers.pointwise import Pointwise, channels_last


class StreamFusionConcat(nn.Module):
    """Per-stream batch norm, concatenate, 1x1 conv, batch norm, ReLU: (N, S*C, T, V) -> (N, C0, T, V).

    Streams differ in scale by an order of magnitude, so each has its own statistics.
    """

    def __init__(self, *, streams: int, axes: int, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(axes) for _ in range(streams))
        self.conv = Pointwise(streams * axes, channels)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, streams: Tensor) -> Tensor:
        parts = streams.chunk(len(self.norms), dim=1)
        normed = torch.cat([norm(part) for norm, part in zip(self.norms, parts, strict=True)], dim=1)
        return torch.relu(self.bn(self.conv(normed)))

    def deployed(self) -> EdgeStem:
        """Norms and convolution as one convolution."""
        return EdgeStem(conv_bn(bn_conv(*scales_and_shifts(self.norms), self.conv), self.bn))


class StreamFusionSoftmax(nn.Module):
    """Per-stream batch norm, one shared 1x1 stem, a norm of its own for each stream, ReLU, then a weighted sum.

    Weights are a softmax over the streams, one table entry a stream and channel, started equal:
    (N, S*C, T, V) -> (N, C0, T, V).
    """

    def __init__(self, *, streams: int, axes: int, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(axes) for _ in range(streams))
        self.conv = Pointwise(axes, channels)
        self.stem_norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(streams))
        self.stream_weights = nn.Parameter(torch.zeros(streams, channels))

    def forward(self, streams: Tensor) -> Tensor:
        parts = zip(streams.chunk(len(self.norms), dim=1), self.norms, self.stem_norms, strict=True)
        stems = torch.stack([torch.relu(after(self.conv(before(part)))) for part, before, after in parts])
        weight = torch.softmax(self.stream_weights.float(), 0).to(stems.dtype)
        return (stems * weight[:, None, :, None, None]).sum(0)

    def deployed(self) -> EdgeStem:
        """One group of channels a stream, its share of the sum in the weights."""
        weights, biases = [], []
        shares = torch.softmax(self.stream_weights, 0)
        for before, after, share in zip(self.norms, self.stem_norms, shares, strict=True):
            conv = conv_bn(bn_conv(*scale_and_shift(before), self.conv), after)
            assert conv.bias is not None
            weights.append(conv.weight.flatten(1) * share[:, None])
            biases.append(conv.bias * share)
        parts = len(weights)
        return EdgeStem(pointwise(torch.cat(weights), torch.cat(biases), groups=parts), parts=parts)


class EdgeStem(nn.Module):
    """The streams' convolution and ReLU; of a weighted fusion one group of channels a stream, then their sum.

    (N, S*C, T, V) -> (N, C0, T, V). The weights of the sum are above 0, so they pass the ReLU into the convolution.
    """

    def __init__(self, conv: nn.Conv2d, *, parts: int = 1) -> None:
        super().__init__()
        self.conv, self.parts = conv, parts

    def forward(self, streams: Tensor) -> Tensor:
        fused = torch.relu(self.conv(streams))
        if self.parts == 1:
            return fused
        first, *others = fused.chunk(self.parts, dim=1)
        for other in others:
            first = first + other
        return first


def log_mean_probability(logits: Tensor) -> Tensor:
    """(S, N, K) -> log of the mean over S of softmax over K, (N, K), float32, without leaving the log domain."""
    return torch.logsumexp(torch.log_softmax(logits.float(), -1), 0) - math.log(len(logits))


FUSIONS: dict[str, type[StreamFusionConcat | StreamFusionSoftmax]] = {
    "concat": StreamFusionConcat,
    "softmax": StreamFusionSoftmax,
}


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
