"""Transformer layers: an encoder with norms after the sums, and an encoder and decoder with norms before them.

Attention as in Vaswani et al. 2017, GELU as in Devlin et al. 2019, norms in front as in Xiong et al. 2020. `keep` is 1
for what may be read, else 0.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available

from last_edge.models.layers.folding import linear

MASKED = -1e4


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """A context without autocast on the tensor's device; tensors still have to be cast by the caller."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if is_autocast_available(kind) else nullcontext()


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


def masking_of(keep: Tensor) -> Tensor:
    """(N, 1, L) of 1 and 0 -> what is added to scores, (N, 1, 1, L)."""
    return ((1 - keep) * MASKED)[:, :, None]


class SelfAttention(nn.Module):
    """Every token reads the tokens that are there: (N, L, D), keep (N, L) 1 or 0 -> (N, L, D). Softmax is float32."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        return self.read(x, x, keep)

    def read(self, x: Tensor, other: Tensor, keep: Tensor) -> Tensor:
        """What tokens x (N, L, D) read of others (N, S, D) that are there, keep (N, S) -> (N, L, D)."""
        parts = ((self.query, x), (self.key, other), (self.value, other))
        query, key, value = (split_heads(part(tokens), self.heads) for part, tokens in parts)
        weights = self.dropout(attention_weights(query, key, keep)).to(value.dtype)
        return self.out((weights @ value).transpose(1, 2).flatten(2))


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
        x = self.attention_norm(x + self.dropout(self.attention(x, keep)))
        read = self.project(nn.functional.gelu(self.expand(x)))
        return self.norm(x + self.dropout(read))

    def deployed(self) -> EdgeEncoderLayer:
        """On tokens as maps, with constants in place of shapes."""
        return EdgeEncoderLayer(self)


class EdgeAttention(nn.Module):
    """`SelfAttention` on tokens as maps, the scale of its scores in the query's weights."""

    def __init__(self, attention: SelfAttention) -> None:
        super().__init__()
        self.heads = attention.heads
        shrink = 1 / math.sqrt(attention.query.in_features // attention.heads)
        self.query = linear(attention.query.weight * shrink, attention.query.bias * shrink)
        self.key, self.value, self.out = attention.key, attention.value, attention.out

    def read(self, x: Tensor, other: Tensor, masking: Tensor) -> Tensor:
        """What tokens (N, 1, L, D) read of others (N, 1, S, D); masking (N, 1, 1, S) is added to the scores."""
        parts = ((self.query, x), (self.key, other), (self.value, other))
        query, key, value = (split_heads(part(tokens).squeeze(1), self.heads) for part, tokens in parts)
        weights = torch.softmax(query @ key.transpose(-1, -2) + masking, dim=-1)
        return self.out((weights @ value).transpose(1, 2).flatten(2).unsqueeze(1))


class EdgeEncoderLayer(EdgeAttention):
    """`EncoderLayer` on tokens (N, 1, L, D) with what is added to the scores, (N, 1, 1, L)."""

    def __init__(self, layer: EncoderLayer) -> None:
        super().__init__(layer.attention)
        self.attention_norm, self.norm = layer.attention_norm, layer.norm
        self.expand, self.project = layer.expand, layer.project

    def forward(self, x: Tensor, masking: Tensor) -> Tensor:
        x = self.attention_norm(self.read(x, x, masking) + x)
        return self.norm(self.project(nn.functional.gelu(self.expand(x))) + x)


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
        query = split_heads(self.query(x), self.heads)
        with full_precision(query):
            scores = query.float() @ keys.float().transpose(-1, -2) * query.shape[-1] ** -0.5
            weights = torch.softmax(scores + (1 - keep.to(scores.dtype))[:, None] * MASKED, dim=-1)
        read = self.dropout(weights).to(values.dtype) @ values
        return self.out(read.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Norm, two linear maps with GELU between, added to what came in: (N, L, D) -> (N, L, D)."""

    def __init__(self, width: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand, self.project = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.dropout(nn.functional.gelu(self.expand(self.norm(x))))
        return x + self.dropout(self.project(inner))


class PreNormEncoderLayer(nn.Module):
    """x + attention(norm(x)), then the feed-forward part: (N, L, D), keep (N, L) -> (N, L, D)."""

    def __init__(self, width: int, *, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads=heads, dropout=dropout)
        self.forward_part = FeedForward(width, hidden=hidden, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        inner = self.norm(x)
        x = x + self.dropout(self.attention(inner, *self.attention.pair(inner), keep[:, None]))
        return self.forward_part(x)


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
