"""Blocks of the edge form: constant matrices and convolutions with bias, no batch norm, as few nodes as possible."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EdgeGraphConv(nn.Module):
    """sum_k W_k (x A_k) + b as one matrix product and one convolution: (N, C, T, V) -> (N, C', T, V).

    graph: (V, K*V), the K graphs side by side, so that the product is (N, C, T, K*V). taps: a (1, K) convolution of
    dilation V, which reads the same joint under every graph. The same function as mixing channels first, on narrower
    products (`A first`).
    """

    graph: Tensor

    def __init__(self, graph: Tensor, taps: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("graph", graph)
        self.taps = taps

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.taps(torch.matmul(x, self.graph))  # type: ignore[no-any-return]


class EdgeAttentiveGraphConv(EdgeGraphConv):
    """`EdgeGraphConv` whose graphs are weighted by what the clip shows on average, the means first as they are linear.

    mean_graph: (V, K), the mean over its columns of each A_k. score: reads the (C, K) means of x A_k.
    spread: (K, K*V), repeats each weight V times.
    """

    mean_graph: Tensor
    spread: Tensor

    def __init__(self, graph: Tensor, taps: nn.Conv2d, *, score: nn.Linear) -> None:
        super().__init__(graph, taps)
        joints = len(graph)
        self.score = score
        self.register_buffer("mean_graph", graph.reshape(joints, -1, joints).mean(2))
        one_each = torch.eye(score.out_features, dtype=graph.dtype)
        self.register_buffer("spread", one_each.repeat_interleave(joints, dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        means = torch.matmul(x.mean(dim=2), self.mean_graph)
        weights = torch.softmax(self.score(means.flatten(1)), dim=-1) @ self.spread
        return self.taps(torch.matmul(x, (self.graph * weights[:, None, :])[:, None]))  # type: ignore[no-any-return]


class EdgeTemporal(nn.Module):
    """Expand, depthwise, project, plus skip, batch norms folded: (N, C, T, V) -> (N, C, T/stride, V)."""

    def __init__(self, *, expand: nn.Conv2d, depthwise: nn.Conv2d, project: nn.Conv2d, skip: nn.Module, act: nn.Module):
        super().__init__()
        self.expand, self.depthwise, self.project = expand, depthwise, project
        self.skip, self.act = skip, act

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = self.act(self.depthwise(self.act(self.expand(x))))
        return self.project(y) + self.skip(x)  # type: ignore[no-any-return]


class EdgeBlock(nn.Module):
    """One block: (N, C, T, V) -> (N, C', T/stride, V)."""

    def __init__(
        self, *, gcn: nn.Module, act: nn.Module, tcn: nn.Module, gates: nn.Module, residual: nn.Module
    ) -> None:
        super().__init__()
        self.gcn, self.act, self.tcn, self.gates, self.residual = gcn, act, tcn, gates, residual

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.gates(self.tcn(self.act(self.gcn(x)))) + self.residual(x)  # type: ignore[no-any-return]


class EdgeStem(nn.Module):
    """The streams' convolution and ReLU; of a weighted fusion one group of channels a stream, then their sum.

    (N, S*C, T, V) -> (N, C0, T, V). The weights of the sum are above 0, so they pass the ReLU into the convolution.
    """

    def __init__(self, conv: nn.Conv2d, *, parts: int = 1) -> None:
        super().__init__()
        self.conv, self.parts = conv, parts

    def forward(self, streams: Tensor) -> Tensor:
        """See the class."""
        fused = torch.relu(self.conv(streams))
        if self.parts == 1:
            return fused
        first, *others = fused.chunk(self.parts, dim=1)
        for other in others:
            first = first + other
        return first


class EdgeModel(nn.Module):
    """Raw landmarks (N, T, V, C) or (N, M, T, V, C) -> logits (N, K); `body` reads the front's streams."""

    def __init__(self, *, front: nn.Module, body: nn.Module) -> None:
        super().__init__()
        self.front, self.body = front, body

    def forward(self, landmarks: Tensor) -> Tensor:
        """See the class."""
        return self.body(self.front(landmarks))  # type: ignore[no-any-return]


class EdgeBody(nn.Module):
    """Stem, blocks and head of one body: streams (N, S*C, T, V) -> logits (N, K)."""

    def __init__(self, *, stem: nn.Module, blocks: nn.Sequential, head: EdgeHead) -> None:
        super().__init__()
        self.stem, self.blocks, self.head = stem, blocks, head

    def forward(self, streams: Tensor) -> Tensor:
        """See the class."""
        return self.head(self.blocks(self.stem(streams)))  # type: ignore[no-any-return]


class EdgeHead(nn.Module):
    """Mean and max over time and joints, one linear layer that holds pooling gate, batch norm and classifier."""

    def __init__(self, fc: nn.Linear) -> None:
        super().__init__()
        self.fc = fc

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> logits (N, K)."""
        return self.fc(pool(x))  # type: ignore[no-any-return]


def pool(x: Tensor) -> Tensor:
    """(N, C, T, V) -> means and maxima over time and joints (N, 2*C)."""
    return torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
