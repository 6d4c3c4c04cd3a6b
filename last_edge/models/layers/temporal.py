"""What a block does over time: separable convolutions and linear attention, each with its deployed form."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from last_edge.models.layers.attention import full_precision
from last_edge.models.layers.folding import affine, conv_bn, pointwise, projection, scale_and_shift
from last_edge.models.layers.pointwise import FrameDepthwise, Pointwise
from last_edge.names import check_known

SMALLEST_NORMALISER = 1e-4
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hardswish": nn.Hardswish}


def activation(name: str) -> nn.Module:
    """A fresh activation module; `UsageError` with the nearest names when unknown."""
    check_known(name, ACTIVATIONS, "activation")
    return ACTIVATIONS[name]()


class EpSepTCN(nn.Module):
    """Expand 1x1, depthwise (5, 1) with stride, project 1x1, plus skip: (N, C, T, V) -> (N, C, T/stride, V).

    The skip is the identity, or a strided 1x1 conv and batch norm. Nothing follows the sum.
    """

    def __init__(self, channels: int, *, stride: int = 1, expand: int = 2, act: str = "hardswish") -> None:
        super().__init__()
        hidden = channels * expand
        self.expand: nn.Conv2d = Pointwise(channels, hidden)
        self.expand_bn: nn.Module = nn.BatchNorm2d(hidden)
        self.depthwise: nn.Conv2d = FrameDepthwise(hidden, taps=5, stride=stride)
        self.depthwise_bn: nn.Module = nn.BatchNorm2d(hidden)
        self.project: nn.Conv2d = Pointwise(hidden, channels)
        self.project_bn: nn.Module = nn.BatchNorm2d(channels)
        self.act = activation(act)
        self.skip: nn.Module = nn.Identity() if stride == 1 else strided_projection(channels, channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.expand_bn(self.expand(x)))
        y = self.act(self.depthwise_bn(self.depthwise(y)))
        return self.project_bn(self.project(y)) + self.skip(x)

    def deployed(self) -> Self:
        """Itself, the norms folded into the convolutions before them."""
        for name in ("expand", "depthwise", "project"):
            setattr(self, name, conv_bn(getattr(self, name), getattr(self, f"{name}_bn")))
            setattr(self, f"{name}_bn", nn.Identity())
        self.skip = projection(self.skip)
        return self


class SeparableTCN(nn.Module):
    """Norm, ReLU, depthwise (9, 1) with stride, 1x1, norm, dropout: (N, C, T, V) -> (N, C, T/stride, V)."""

    def __init__(self, channels: int, *, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm_in: nn.Module = nn.BatchNorm2d(channels)
        self.depthwise = FrameDepthwise(channels, taps=9, stride=stride)
        self.pointwise: nn.Conv2d = Pointwise(channels, channels)
        self.norm_out: nn.Module = nn.BatchNorm2d(channels)
        self.dropout: nn.Module = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pointwise(self.depthwise(torch.relu(self.norm_in(x))))
        return self.dropout(self.norm_out(y))

    def deployed(self) -> Self:
        """Itself, the first norm an affine convolution that ReLU is fused with, the other folded."""
        self.norm_in = affine(*scale_and_shift(self.norm_in))
        self.pointwise, self.norm_out = conv_bn(self.pointwise, self.norm_out), nn.Identity()
        self.dropout = nn.Identity()
        return self


class LinearAttention(nn.Module):
    """Every frame reads all frames of its joint, at a cost linear in T: (N, C, T, V) -> (N, C, T/stride, V).

    Katharopoulos et al. 2020. Features elu(x) + 1 instead of a softmax, average pooling (3, 1) for the stride. Sums and
    normaliser are float32.
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
        qkv = self.qkv(x.permute(0, 3, 2, 1)).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.permute(3, 0, 1, 4, 2, 5)
        read = _attend(query, key, value).transpose(2, 3).flatten(3)
        y = self.dropout(self.out(read.to(qkv.dtype))).permute(0, 3, 2, 1)
        return self.pool(y)

    def deployed(self) -> EdgeLinearAttention:
        """With 1x1 convolutions on the map as it lies."""
        out = pointwise(self.out.weight, self.out.bias)
        return EdgeLinearAttention(qkv=pointwise(self.qkv.weight), out=out, pool=self.pool, heads=self.heads)


def _positive(x: Tensor) -> Tensor:
    """The feature map elu(x) + 1, without the rounding of that sum: far below 0 it is all that is left of exp(x)."""
    return torch.exp(x.clamp(max=0.0)) + torch.relu(x)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Three (..., T, d) -> (..., T, d): sum_s f(q_t).f(k_s) v_s / sum_s f(q_t).f(k_s), in float32 at least."""
    with full_precision(query):
        query, key, value = (part.float() if part.dtype != torch.float64 else part for part in (query, key, value))
        query, key = _positive(query), _positive(key)
        weight = (query * key.sum(-2, keepdim=True)).sum(-1, keepdim=True)
        return query @ (key.transpose(-1, -2).contiguous() @ value) / weight.clamp(min=SMALLEST_NORMALISER)


class EdgeLinearAttention(nn.Module):
    """`LinearAttention` on (N, C, T, V) with 1x1 convolutions: (N, C, T, V) -> (N, C, T/stride, V)."""

    def __init__(self, *, qkv: nn.Conv2d, out: nn.Conv2d, pool: nn.Module, heads: int) -> None:
        super().__init__()
        self.qkv, self.out, self.pool, self.heads = qkv, out, pool, heads

    def forward(self, x: Tensor) -> Tensor:
        channels, frames, joints = x.shape[1:]
        query, key, value = self.qkv(x).reshape(-1, 3 * self.heads, channels // self.heads, frames, joints).chunk(3, 1)
        query, key = _positive(query).permute(0, 1, 4, 3, 2), _positive(key).permute(0, 1, 4, 2, 3)
        weight = torch.matmul(query, key.sum(dim=-1, keepdim=True)).clamp(min=SMALLEST_NORMALISER)
        read = torch.matmul(query, torch.matmul(key, value.permute(0, 1, 4, 3, 2))) / weight
        y = self.out(read.permute(0, 1, 4, 3, 2).reshape(-1, channels, frames, joints))
        return self.pool(y)


def strided_projection(channels_in: int, channels_out: int, *, stride: int, bias: bool = False) -> nn.Sequential:
    """1x1 conv and batch norm that brings a skip path to another width and frame rate."""
    conv = Pointwise(channels_in, channels_out, stride=stride, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out))
