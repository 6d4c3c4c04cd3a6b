"""Graph convolutions: over K fixed subsets of the skeleton graph, and over fixed, learned and per-sample graphs.

Each with its deployed form: constant graphs side by side, so that one product and one convolution do the work.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from last_edge.models.layers.folding import linear, pointwise, scale_and_shift, side_by_side, taps
from last_edge.models.layers.pointwise import Pointwise, channels_last, spread_product, stacked_product
from last_edge.skeleton.layout import Layout, spatial_partition

REDUCTION = 8
NARROWEST = 4
SMALLEST_SQUARE = 1e-6


class SubsetGate(nn.Linear):
    """Scores of a graph convolution's subsets, which weight decay leaves alone: it would pull their blend to even."""


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
        self.attention = SubsetGate(width, self.subsets, bias=False) if subset_attention else None
        self.bn = nn.BatchNorm2d(channels_out)

    def graph(self) -> Tensor:
        """(K, V, V) adjacency with the learned mask applied."""
        return self.adjacency if self.edge is None else self.adjacency * self.edge

    def forward(self, x: Tensor) -> Tensor:
        groups, graph = self.conv(x), self.graph()
        if self.attention is not None:
            weights = torch.softmax(self.attention(self._pooled(groups, graph)).float(), -1)
            graph = graph * weights[:, :, None, None]
        return self.bn(stacked_product(graph, groups))

    def deployed(self) -> EdgeGraphConv:
        """Weights (K*C', C) regrouped to (C', K, C), norm and edge mask multiplied into them and the graph."""
        channels, graph = self.conv.in_channels, self.graph().double()
        by_subset = self.conv.weight.reshape(self.subsets, -1, channels)
        scale, shift = scale_and_shift(self.bn)
        mixed = taps(by_subset.transpose(0, 1) * scale[:, None, None], shift, joints=graph.shape[1])
        if self.attention is None:
            return EdgeGraphConv(side_by_side(graph), mixed)
        read = self.attention.weight.reshape(self.subsets, self.subsets, -1)
        score = torch.einsum("jkp,kpc->jck", read, by_subset).flatten(1)
        return EdgeAttentiveGraphConv(side_by_side(graph), mixed, score=linear(score))

    def _pooled(self, groups: Tensor, graph: Tensor) -> Tensor:
        """Mean over time and joints of each group once its graph is applied, (N, K*C): means first, being linear."""
        over_time = groups.mean(2).reshape(len(groups), self.subsets, -1, groups.shape[3])
        return torch.einsum("kv,nkcv->nkc", graph.mean(2).to(groups.dtype), over_time).flatten(1)


class FrameGraphConv(SpatialGCN):
    """`SpatialGCN` with constant weights of its graphs, computed graph first, as its deployed form does.

    Of long recordings with few channels one wide product is several times as fast as a small one for each frame.
    """

    def forward(self, x: Tensor) -> Tensor:
        count, channels, frames, joints = x.shape
        columns = channels_last(x).permute(2, 0, 1, 3).reshape(joints, -1)
        spread = self.graph().transpose(1, 2).reshape(-1, joints).to(x.dtype) @ columns
        rows = spread.view(self.subsets, joints, count * frames, channels).permute(2, 1, 0, 3).flatten(2)
        weight = self.conv.weight.view(self.subsets, -1, channels).transpose(0, 1).flatten(1)
        mixed = nn.functional.linear(rows.flatten(0, 1), weight)
        return self.bn(mixed.view(count, frames, joints, -1).permute(0, 3, 1, 2))


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
        return self.taps(torch.matmul(x, self.graph))


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
        means = torch.matmul(x.mean(dim=2), self.mean_graph)
        weights = torch.softmax(self.score(means.flatten(1)), dim=-1) @ self.spread
        return self.taps(torch.matmul(x, (self.graph * weights[:, None, :])[:, None]))


class AdaptiveGraphConv(nn.Module):
    """y = sum_k W_k (x A_k) over the fixed graphs, one learned and one of the sample: (N, C, T, V) -> (N, C', T, V).

    After Shi et al. 2019, 2s-AGCN.
    fixed: (K, V, V), columns sum to 1, so that a joint reads an average over its neighbours.
    A_learned: starts at 0, see `symmetric`; of the sample: see `similarity`. A bias-free 1x1 conv each, held as one.
    """

    fixed: Tensor

    def __init__(self, channels_in: int, channels_out: int, *, fixed: NDArray[np.float32]) -> None:
        super().__init__()
        self.register_buffer("fixed", torch.as_tensor(fixed, dtype=torch.float32), persistent=False)
        self.A_learned = nn.Parameter(torch.zeros_like(self.fixed[0]))
        self.embed = Pointwise(channels_in, max(NARROWEST, channels_in // REDUCTION))
        self.conv = Pointwise((len(self.fixed) + 2) * channels_in, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        shared = torch.cat([self.fixed, symmetric(self.A_learned)[None]])
        own = similarity(self.embed(channels_last(x).mean(1, keepdim=True).permute(0, 3, 1, 2)).squeeze(2))
        graphs = torch.cat([shared.to(x.dtype).expand(x.shape[0], -1, -1, -1), own.to(x.dtype)[:, None]], dim=1)
        return self.conv(spread_product(graphs, x))

    def deployed(self, norm: nn.Module) -> EdgeAdaptiveGraphConv:
        """The conv's (C', (K+2)*C) weights cut into those of the constant graphs and those of the sample's.

        norm: the batch norm behind it.
        """
        graph = torch.cat([self.fixed, symmetric(self.A_learned)[None]])
        channels, (scale, shift) = self.embed.in_channels, scale_and_shift(norm)
        by_graph = (self.conv.weight.flatten(1) * scale[:, None]).reshape(-1, len(graph) + 1, channels)
        return EdgeAdaptiveGraphConv(
            graph=side_by_side(graph),
            taps=taps(by_graph[:, :-1], shift, joints=graph.shape[1]),
            embed=self.embed.weight.detach().flatten(1),
            own=pointwise(by_graph[:, -1]),
        )


def column_partition(layout: Layout, *, legacy: bool = False) -> NDArray[np.float32]:
    """(3, V, V) self, towards and away from the centre, together A D^-1: the sum over subsets and rows v is 1."""
    subsets = spatial_partition(layout, max_hop=1, legacy=legacy) > 0
    return np.asarray(subsets / subsets.sum(axis=(0, 1)), np.float32)


def symmetric(weights: Tensor) -> Tensor:
    """(V, V) -> D^-1/2 |weights| D^-1/2 in float32 at least; D: row and column sums, 1 where they are smaller.

    Dividing by sums near 0, and the usual gradient 0 of |w| at w = 0, would leave a graph that starts at 0 either
    unstable or dead. Held so, it starts at nothing, grows with its weights and never exceeds the normalised form.
    """
    weights = weights if weights.dtype == torch.float64 else weights.float()
    size = torch.where(weights < 0, -weights, weights)
    rows, columns = (size.sum(axis, keepdim=True).clamp(min=1.0).rsqrt() for axis in (1, 0))
    return rows * size * columns


def similarity(embedding: Tensor) -> Tensor:
    """(N, d, V) -> (N, V, V): softmax over the joints v that joint w reads, [v, w], of their cosine; in float32.

    Lengths near 0, as of a body that does not move, are held up, which bounds the gradient.
    """
    embedding = embedding.float()
    unit = embedding * (embedding.square().sum(1, keepdim=True) + SMALLEST_SQUARE).rsqrt()
    return torch.softmax((unit.transpose(1, 2) @ unit).float(), dim=1)


class EdgeAdaptiveGraphConv(nn.Module):
    """One product with the constant graphs, one with the sample's: (N, C, T, V) -> (N, C', T, V), norm folded.

    embed: (d, C). The sample's graph is the softmax of the joints' cosines (`similarity`).
    """

    graph: Tensor
    embed: Tensor

    def __init__(self, *, graph: Tensor, taps: nn.Conv2d, embed: Tensor, own: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("graph", graph)
        self.register_buffer("embed", embed)
        self.taps, self.own = taps, own

    def forward(self, x: Tensor) -> Tensor:
        embedding = torch.matmul(self.embed, x.mean(dim=2))
        unit = embedding * (embedding.square().sum(dim=1, keepdim=True) + SMALLEST_SQUARE).rsqrt()
        graph = torch.softmax(torch.matmul(unit.transpose(1, 2), unit), dim=1)
        shared: Tensor = self.taps(torch.matmul(x, self.graph))
        own: Tensor = self.own(torch.matmul(x, graph[:, None]))
        return shared + own
