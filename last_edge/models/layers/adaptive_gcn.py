"""Graph convolution over fixed, learned and per-sample graphs (after Shi et al. 2019, 2s-AGCN)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from last_edge.models.layers.pointwise import Pointwise, channels_last, spread_product
from last_edge.skeleton.graph import spatial_partition
from last_edge.skeleton.layout import Layout

REDUCTION = 8
NARROWEST = 4
SMALLEST_SQUARE = 1e-6


class AdaptiveGraphConv(nn.Module):
    """y = sum_k W_k (x A_k) over the fixed graphs, one learned and one of the sample: (N, C, T, V) -> (N, C', T, V).

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
        """See the class."""
        shared = torch.cat([self.fixed, symmetric(self.A_learned)[None]])
        own = similarity(self.embed(channels_last(x).mean(1, keepdim=True).permute(0, 3, 1, 2)).squeeze(2))
        graphs = torch.cat([shared.to(x.dtype).expand(len(x), -1, -1, -1), own.to(x.dtype)[:, None]], dim=1)
        return self.conv(spread_product(graphs, x))  # type: ignore[no-any-return]


def column_partition(layout: Layout, *, legacy: bool = False) -> NDArray[np.float32]:
    """(3, V, V) self, towards and away from the centre, together A D^-1: the sum over subsets and rows v is 1."""
    subsets = spatial_partition(layout, max_hop=1, legacy=legacy) > 0
    return np.asarray(subsets / subsets.sum(axis=(0, 1)), np.float32)


def symmetric(weights: Tensor) -> Tensor:
    """(V, V) -> D^-1/2 |weights| D^-1/2 in float32, D the row and column sums, taken as 1 where they are smaller.

    Dividing by sums near 0, and the usual gradient 0 of |w| at w = 0, would leave a graph that starts at 0 either
    unstable or dead. Held so, it starts at nothing, grows with its weights and never exceeds the normalised form.
    """
    weights = weights.float()
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
