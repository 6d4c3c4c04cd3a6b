"""Spatial graph convolution over K fixed subsets of the skeleton graph."""

from __future__ import annotations

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from last_edge.models.layers.pointwise import Pointwise, stacked_product


class SpatialGCN(nn.Module):
    """y = BN(sum_k w_k (W_k x) (A_k * E_k)): (N, C_in, T, V) -> (N, C_out, T, V).

    learn_edges: E_k is a learnable mask per entry, started at 1; without it A_k is constant.
    subset_attention: w = softmax(Linear(GAP of the K aggregated groups)); without it w = 1.
    """

    adjacency: Tensor

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        adjacency: NDArray,  # type: ignore[type-arg]
        learn_edges: bool = True,
        subset_attention: bool = False,
    ) -> None:
        super().__init__()
        self.subsets = int(adjacency.shape[0])
        self.register_buffer("adjacency", torch.as_tensor(adjacency, dtype=torch.float32), persistent=False)
        self.edge = nn.Parameter(torch.ones_like(self.adjacency)) if learn_edges else None
        self.conv = Pointwise(channels_in, self.subsets * channels_out)
        width = self.subsets * channels_out
        self.attention = nn.Linear(width, self.subsets, bias=False) if subset_attention else None
        self.bn = nn.BatchNorm2d(channels_out)

    def graph(self) -> Tensor:
        """(K, V, V) adjacency with the learned mask applied."""
        return self.adjacency if self.edge is None else self.adjacency * self.edge

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        groups, graph = self.conv(x), self.graph()
        if self.attention is not None:
            weights = torch.softmax(self.attention(self._pooled(groups, graph)).float(), -1)
            graph = graph * weights[:, :, None, None]
        return self.bn(stacked_product(graph, groups))  # type: ignore[no-any-return]

    def _pooled(self, groups: Tensor, graph: Tensor) -> Tensor:
        """Mean over time and joints of each group once its graph is applied, (N, K*C): means first, being linear."""
        over_time = groups.mean(2).reshape(len(groups), self.subsets, -1, groups.shape[3])
        return torch.einsum("kv,nkcv->nkc", graph.mean(2).to(groups.dtype), over_time).flatten(1)
