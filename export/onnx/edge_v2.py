"""The edge form of LAST-v2: its graphs of the sample and its linear attention stay; all that is constant is folded."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from last_edge.export.onnx.edge_bodies import EdgeMerge
from last_edge.models.layers.adaptive_gcn import SMALLEST_SQUARE
from last_edge.models.layers.linear_attention import SMALLEST_NORMALISER


class EdgeAdaptiveGraphConv(nn.Module):
    """One product with the constant graphs, one with the sample's: (N, C, T, V) -> (N, C', T, V), norm folded.

    embed: (d, C). The sample's graph is the softmax of the joints' cosines (`adaptive_gcn.similarity`).
    """

    graph: Tensor
    embed: Tensor

    def __init__(self, *, graph: Tensor, taps: nn.Conv2d, embed: Tensor, own: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("graph", graph)
        self.register_buffer("embed", embed)
        self.taps, self.own = taps, own

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        embedding = torch.matmul(self.embed, x.mean(dim=2))
        unit = embedding * (embedding.square().sum(dim=1, keepdim=True) + SMALLEST_SQUARE).rsqrt()
        graph = torch.softmax(torch.matmul(unit.transpose(1, 2), unit), dim=1)
        shared: Tensor = self.taps(torch.matmul(x, self.graph))
        own: Tensor = self.own(torch.matmul(x, graph[:, None]))
        return shared + own


class EdgeLinearAttention(nn.Module):
    """`LinearAttention` on (N, C, T, V) with 1x1 convolutions: (N, C, T, V) -> (N, C, T/stride, V)."""

    def __init__(self, *, qkv: nn.Conv2d, out: nn.Conv2d, pool: nn.Module, heads: int) -> None:
        super().__init__()
        self.qkv, self.out, self.pool, self.heads = qkv, out, pool, heads

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        channels, frames, joints = x.shape[1:]
        query, key, value = self.qkv(x).reshape(-1, 3 * self.heads, channels // self.heads, frames, joints).chunk(3, 1)
        query = (nn.functional.elu(query) + 1.0).permute(0, 1, 4, 3, 2)
        key = (nn.functional.elu(key) + 1.0).permute(0, 1, 4, 2, 3)
        weight = torch.matmul(query, key.sum(dim=-1, keepdim=True)).clamp(min=SMALLEST_NORMALISER)
        read = torch.matmul(query, torch.matmul(key, value.permute(0, 1, 4, 3, 2))) / weight
        y = self.out(read.permute(0, 1, 4, 3, 2).reshape(-1, channels, frames, joints))
        return self.pool(y)  # type: ignore[no-any-return]


class EdgeSeparable(nn.Module):
    """Affine, ReLU, depthwise over time, 1x1: (N, C, T, V) -> (N, C, T/stride, V)."""

    def __init__(self, *, affine: nn.Conv2d, depthwise: nn.Conv2d, pointwise: nn.Conv2d) -> None:
        super().__init__()
        self.affine, self.depthwise, self.pointwise = affine, depthwise, pointwise

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.pointwise(self.depthwise(torch.relu(self.affine(x))))  # type: ignore[no-any-return]


class EdgeBlockV2(nn.Module):
    """Graph conv, ReLU, joint attention, temporal part, plus residual, ReLU."""

    def __init__(self, *, gcn: nn.Module, gates: nn.Module, temporal: nn.Module, residual: nn.Module) -> None:
        super().__init__()
        self.gcn, self.gates, self.temporal, self.residual = gcn, gates, temporal, residual

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, C', T/stride, V)."""
        return torch.relu(self.temporal(self.gates(torch.relu(self.gcn(x)))) + self.residual(x))


class EdgeBodyV2(nn.Module):
    """Streams (N, S*C, T, V), or (N, M, S*C, T, V), as rows of one batch -> log-probabilities (N, K).

    norms: every stream's norm as one affine map. merge: of the bodies' logits where there are several.
    """

    def __init__(
        self, *, norms: nn.Conv2d, blocks: nn.Sequential, fc: nn.Linear, streams: int, merge: EdgeMerge | None
    ) -> None:
        super().__init__()
        self.norms, self.blocks, self.fc = norms, blocks, fc
        self.streams, self.merge = streams, merge

    def forward(self, streams: Tensor) -> Tensor:
        """See the class."""
        channels, frames, joints = streams.shape[-3:]
        rows = self.norms(streams.reshape(-1, channels, frames, joints))
        maps = self.blocks(rows.reshape(-1, channels // self.streams, frames, joints))
        logits = self.fc(maps.mean(dim=(2, 3)))
        if self.merge is None:
            return log_mean(logits.reshape(-1, self.streams, logits.shape[1]))
        by_body = logits.reshape(-1, self.merge.bodies, self.streams, logits.shape[1])
        return log_mean(self.merge(by_body, streams))


def log_mean(logits: Tensor) -> Tensor:
    """(N, S, K) -> log of the mean over S of softmax over K (`fusion.log_mean_probability`)."""
    return torch.logsumexp(torch.log_softmax(logits, dim=-1), dim=1) - math.log(logits.shape[1])
