"""Transformer layers with norms before the sums, as an encoder and as a decoder that can go token by token.

Attention as in Vaswani et al. 2017; norms in front as in Xiong et al. 2020. `keep` is 1 for what may be read, else 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.models.layers.attention import MASKED, split_heads
from last_edge.models.layers.precision import full_precision


class Attention(nn.Module):
    """Tokens x (N, L, D) read keys and values (N, H, S, d) as far as `keep`, (N or 1, L or 1, S), allows -> (N, L, D).

    Softmax is float32.
    """

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def pair(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of tokens (N, S, D), each (N, H, S, d)."""
        return split_heads(self.key(x), self.heads), split_heads(self.value(x), self.heads)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, keep: Tensor) -> Tensor:
        """See the class."""
        query = split_heads(self.query(x), self.heads)
        with full_precision(query):
            scores = query.float() @ keys.float().transpose(-1, -2) * query.shape[-1] ** -0.5
            weights = torch.softmax(scores + (1 - keep.to(scores.dtype))[:, None] * MASKED, dim=-1)
        read = self.dropout(weights).to(values.dtype) @ values
        return self.out(read.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Norm, two linear maps with GELU between, added to what came in: (N, L, D) -> (N, L, D)."""

    def __init__(self, width: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand, self.project = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        inner = self.dropout(nn.functional.gelu(self.expand(self.norm(x))))
        return x + self.dropout(self.project(inner))  # type: ignore[no-any-return]


class PreNormEncoderLayer(nn.Module):
    """x + attention(norm(x)), then the feed-forward part: (N, L, D), keep (N, L) -> (N, L, D)."""

    def __init__(self, width: int, *, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads=heads, dropout=dropout)
        self.forward_part = FeedForward(width, hidden=hidden, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """See the class."""
        inner = self.norm(x)
        x = x + self.dropout(self.attention(inner, *self.attention.pair(inner), keep[:, None]))
        return self.forward_part(x)  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    """Tokens read those up to themselves, then the memory: (N, L, D) -> (N, L, D)."""

    def __init__(self, width: int, *, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads=heads, dropout=dropout)
        self.memory_norm, self.memory_attention = nn.LayerNorm(width), Attention(width, heads=heads, dropout=dropout)
        self.forward_part = FeedForward(width, hidden=hidden, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor], memory: tuple[Tensor, Tensor], keep: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Tokens and the keys and values to remember.

        past: keys and values (N, H, P, d) of the tokens before x. memory: of the encoder's tokens (N, H, S, d).
        keep: which of past and own tokens, (1, L, P + L), and which of memory, (N, S), may be read.
        """
        inner = self.norm(x)
        keys, values = (torch.cat(pair, dim=2) for pair in zip(past, self.attention.pair(inner), strict=True))
        x = x + self.dropout(self.attention(inner, keys, values, keep[0]))
        read = self.memory_attention(self.memory_norm(x), *memory, keep[1][:, None])
        return self.forward_part(x + self.dropout(read)), (keys, values)
