"""A transformer encoder over tokens with norms after the sums (Vaswani et al. 2017; GELU as in Devlin et al. 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from last_edge.models.layers.precision import full_precision

MASKED = -1e4


class SelfAttention(nn.Module):
    """Every token reads the tokens that are there: (N, L, D), keep (N, L) 1 or 0 -> (N, L, D). Softmax is float32."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """See the class."""
        query, key, value = (split_heads(part(x), self.heads) for part in (self.query, self.key, self.value))
        weights = attention_weights(query, key, keep)
        read = self.dropout(weights).to(value.dtype) @ value
        return self.out(read.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Norm(x + attention(x)), then norm(x + feed-forward(x)): (N, L, D), keep (N, L) -> (N, L, D)."""

    def __init__(self, width: int, *, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads=heads, dropout=dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.expand, self.project = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """See the class."""
        x = self.attention_norm(x + self.dropout(self.attention(x, keep)))
        read = self.project(nn.functional.gelu(self.expand(x)))
        return self.norm(x + self.dropout(read))  # type: ignore[no-any-return]


def attention_weights(query: Tensor, key: Tensor, keep: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) over the keys that `keep` (N, S) has at 1: (N, H, L, d), (N, H, S, d) -> (N, H, L, S).

    The score of any other key falls by 10,000, which leaves it no weight.
    """
    with full_precision(query):
        query, key = (part if part.dtype == torch.float64 else part.float() for part in (query, key))
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return torch.softmax(scores + (1 - keep.to(scores.dtype))[:, None, None] * MASKED, dim=-1)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, L, D) -> (N, H, L, D/H)."""
    return torch.unflatten(x, -1, (heads, -1)).transpose(1, 2)
