"""Joining the input streams: into one feature map, or their answers into one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from last_edge.models.layers.folding import bn_conv, conv_bn, pointwise, scale_and_shift, scales_and_shifts
from last_edge.models.layers.pointwise import Pointwise


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
