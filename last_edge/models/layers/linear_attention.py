"""Self-attention over time at a cost linear in T (Katharopoulos et al. 2020), each joint for itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.models.layers.precision import full_precision

SMALLEST_NORMALISER = 1e-4


class LinearAttention(nn.Module):
    """Every frame reads all frames of its joint: (N, C, T, V) -> (N, C, T/stride, V).

    Features elu(x) + 1 instead of a softmax, average pooling (3, 1) for the stride. Sums and normaliser are float32.
    """

    def __init__(self, channels: int, *, heads: int = 4, stride: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)
        pool = nn.AvgPool2d((3, 1), (stride, 1), (1, 0), count_include_pad=False)
        self.pool: nn.Module = pool if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        qkv = self.qkv(x.permute(0, 3, 2, 1)).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.permute(3, 0, 1, 4, 2, 5)
        read = _attend(query, key, value).transpose(2, 3).flatten(3)
        y = self.dropout(self.out(read.to(qkv.dtype))).permute(0, 3, 2, 1)
        return self.pool(y)  # type: ignore[no-any-return]


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Three (..., T, d) -> (..., T, d): sum_s f(q_t).f(k_s) v_s / sum_s f(q_t).f(k_s), in float32 at least."""
    with full_precision(query):
        query, key, value = (part.float() if part.dtype != torch.float64 else part for part in (query, key, value))
        query, key = nn.functional.elu(query) + 1, nn.functional.elu(key) + 1
        weight = (query * key.sum(-2, keepdim=True)).sum(-1, keepdim=True)
        return query @ (key.transpose(-1, -2).contiguous() @ value) / weight.clamp(min=SMALLEST_NORMALISER)
