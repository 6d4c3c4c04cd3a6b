"""Several bodies in the edge form: which of them are there, and one feature out of all, without shapes at run time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.export.onnx.edge_modules import pool


class EdgePooledBodies(nn.Module):
    """Streams (N, M, S*C, T, V) -> logits (N, K) of the `mean` or `max` of the bodies' gated features.

    gate: (C,), the share of the mean in each pooled channel, the rest is the maximum's.
    """

    gate: Tensor

    def __init__(
        self, *, stem: nn.Module, blocks: nn.Sequential, gate: Tensor, fc: nn.Linear, how: str, bodies: int
    ) -> None:
        super().__init__()
        self.stem, self.blocks, self.fc = stem, blocks, fc
        self.merge = EdgeMerge(how, bodies)
        self.register_buffer("gate", gate)

    def forward(self, streams: Tensor) -> Tensor:
        """See the class."""
        maps = self.blocks(self.stem(streams.reshape(-1, *streams.shape[2:])))
        means, maxima = pool(maps).chunk(2, dim=1)
        features = self.gate * means + (1.0 - self.gate) * maxima
        merged = self.merge(features.reshape(-1, self.merge.bodies, len(self.gate)), streams)
        return self.fc(merged)  # type: ignore[no-any-return]


class EdgeMerge(nn.Module):
    """Values (N, M, ...) of those bodies that show anything in streams (N, M, S*C, T, V) -> their mean or max (N, ...).

    The first counts where there is none (`models.layers.bodies`).
    """

    first: Tensor

    def __init__(self, how: str, bodies: int) -> None:
        super().__init__()
        self.how, self.bodies = how, bodies
        self.register_buffer("first", torch.eye(1, bodies))

    def forward(self, values: Tensor, streams: Tensor) -> Tensor:
        """See the class."""
        shown = torch.where(streams.abs().amax(dim=(2, 3, 4)) > 0, 1.0, 0.0)
        present = shown + self.first * (1.0 - shown.amax(dim=1, keepdim=True))
        weight = present[(..., *([None] * (values.dim() - 2)))]
        if self.how == "max":
            return torch.where(weight > 0, values, -torch.inf).amax(dim=1)
        return (values * weight).sum(dim=1) / weight.sum(dim=1)
