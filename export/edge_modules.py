"""Blocks of the edge form: constant matrices and convolutions with bias, no batch norm, as few nodes as possible."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EdgeGraphConv(nn.Module):
    """sum_k W_k (x A_k) + b as K constant matrix products, one concat and one 1x1 conv: (N, C, T, V) -> (N, C', T, V).

    The same function as mixing channels first, on fewer and narrower products (`A first`).
    """

    graph: Tensor

    def __init__(self, graph: Tensor, conv: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("graph", graph)
        self.conv = conv

    def aggregate(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, K*C, T, V)."""
        return torch.cat([torch.matmul(x, subset) for subset in self.graph.unbind(0)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.conv(self.aggregate(x))  # type: ignore[no-any-return]


class EdgeAttentiveGraphConv(EdgeGraphConv):
    """`EdgeGraphConv` with subset attention; `score` reads the mean of x A_k, `spread` repeats each weight C times."""

    spread: Tensor

    def __init__(self, graph: Tensor, conv: nn.Conv2d, *, score: nn.Linear, spread: Tensor) -> None:
        super().__init__(graph, conv)
        self.score = score
        self.register_buffer("spread", spread)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        groups = self.aggregate(x)
        weights = torch.softmax(self.score(groups.mean(dim=(2, 3))), dim=-1) @ self.spread
        return self.conv(groups * weights[:, :, None, None])  # type: ignore[no-any-return]


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


class EdgeMotionGate(nn.Module):
    """x * (rest + alpha * g): the motion gate with its blend drawn into one factor a channel."""

    alpha: Tensor
    rest: Tensor

    def __init__(self, *, reduce: nn.Linear, restore: nn.Linear, alpha: Tensor) -> None:
        super().__init__()
        self.reduce, self.restore = reduce, restore
        self.register_buffer("alpha", alpha.flatten(1))
        self.register_buffer("rest", 1.0 - alpha.flatten(1))

    def describe(self, x: Tensor) -> Tensor:
        """What the gate reads, (N, C, T, V) -> (N, D)."""
        return (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> same."""
        gate = torch.sigmoid(self.restore(torch.relu(self.reduce(self.describe(x)))))
        factor = self.rest + self.alpha * gate
        return x * factor[:, :, None, None]


class EdgeJointAttention(nn.Module):
    """x * (rest + alpha * a_t * a_s): joint attention with alpha drawn into the small temporal gate."""

    alpha: Tensor
    rest: Tensor

    def __init__(self, *, temporal: nn.Module, spatial: nn.Module, alpha: Tensor) -> None:
        super().__init__()
        self.temporal, self.spatial = temporal, spatial
        self.register_buffer("alpha", alpha)
        self.register_buffer("rest", 1.0 - alpha)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> same."""
        over_time = self.alpha * torch.sigmoid(self.temporal(x.mean(3, keepdim=True)))
        over_joints = torch.sigmoid(self.spatial(x.mean(2, keepdim=True)))
        return x * (over_time * over_joints + self.rest)


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


class EdgeHead(nn.Module):
    """Mean and max over time and joints, one linear layer that holds pooling gate, batch norm and classifier."""

    def __init__(self, fc: nn.Linear) -> None:
        super().__init__()
        self.fc = fc

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> logits (N, K)."""
        return self.fc(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))  # type: ignore[no-any-return]


class EdgeModel(nn.Module):
    """Raw landmarks (N, T, V, C) or (N, M, T, V, C) -> logits (N, K)."""

    def __init__(self, *, front: nn.Module, stem: nn.Conv2d, blocks: nn.Sequential, head: nn.Module) -> None:
        super().__init__()
        self.front, self.stem, self.blocks, self.head = front, stem, blocks, head

    def forward(self, landmarks: Tensor) -> Tensor:
        """See the class."""
        return self.head(self.blocks(torch.relu(self.stem(self.front(landmarks)))))  # type: ignore[no-any-return]
