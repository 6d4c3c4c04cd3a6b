"""Three ways of making one vector of two rows of tokens: side by side, gated, or each reading the other over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.models.layers.attention import attention_weights, split_heads


class Concat(nn.Module):
    """Both means side by side: tokens (N, L, D) with keep (N, L), others (N, S, D) with theirs -> (N, 2D)."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.width = 2 * width

    def forward(self, x: Tensor, keep: Tensor, other: Tensor, there: Tensor) -> Tensor:
        """See the class."""
        return torch.cat([mean_of(x, keep), mean_of(other, there)], dim=-1)


class Gated(nn.Module):
    """g * other + (1 - g) * own, both means, g of both: shapes as `Concat`, but -> (N, D)."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.gate = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, keep: Tensor, other: Tensor, there: Tensor) -> Tensor:
        """See the class."""
        own, others = mean_of(x, keep), mean_of(other, there)
        gate = torch.sigmoid(self.gate(torch.cat([own, others], dim=-1)))
        return gate * others + (1 - gate) * own


class Cross(nn.Module):
    """Each side's tokens read the other's over time, then both means side by side: shapes as `Concat`."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.width = 2 * width
        self.own = Reading(width, heads=heads, dropout=dropout)
        self.others = Reading(width, heads=heads, dropout=dropout)

    def forward(self, x: Tensor, keep: Tensor, other: Tensor, there: Tensor) -> Tensor:
        """See the class."""
        own, others = self.own(x, other, there), self.others(other, x, keep)
        return torch.cat([mean_of(own, keep), mean_of(others, there)], dim=-1)


class Reading(nn.Module):
    """Norm(x + attention of x to other): (N, L, D), (N, S, D), keep (N, S) -> (N, L, D).

    Nothing is read of a side that shows nothing at all.
    """

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)

    def forward(self, x: Tensor, other: Tensor, keep: Tensor) -> Tensor:
        """See the class."""
        parts = ((self.query, x), (self.key, other), (self.value, other))
        query, key, value = (split_heads(part(tokens), self.heads) for part, tokens in parts)
        weights = self.dropout(attention_weights(query, key, keep)).to(value.dtype)
        read = self.out((weights @ value).transpose(1, 2).flatten(2))
        return self.norm(x + self.dropout(read) * keep.amax(1)[:, None, None])  # type: ignore[no-any-return]


def mean_of(x: Tensor, keep: Tensor) -> Tensor:
    """(N, L, D), keep (N, L) 1 or 0 -> (N, D), the mean of the tokens that are there; 0 of none."""
    total = (x * keep[..., None]).sum(1)
    return total / keep.sum(1, keepdim=True).clamp(min=1.0)


JOINS: dict[str, type[Concat | Gated | Cross]] = {"concat": Concat, "gated": Gated, "cross": Cross}
