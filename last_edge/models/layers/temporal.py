"""Temporal convolutions: of the LAST-E and LAST-Lite blocks, and of LAST-v2's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.models.layers.activation import activation
from last_edge.models.layers.pointwise import FrameDepthwise, Pointwise


class EpSepTCN(nn.Module):
    """Expand 1x1, depthwise (5, 1) with stride, project 1x1, plus skip: (N, C, T, V) -> (N, C, T/stride, V).

    The skip is the identity, or a strided 1x1 conv and batch norm. Nothing follows the sum.
    """

    def __init__(self, channels: int, *, stride: int = 1, expand: int = 2, act: str = "hardswish") -> None:
        super().__init__()
        hidden = channels * expand
        self.expand = Pointwise(channels, hidden)
        self.expand_bn = nn.BatchNorm2d(hidden)
        self.depthwise = FrameDepthwise(hidden, taps=5, stride=stride)
        self.depthwise_bn = nn.BatchNorm2d(hidden)
        self.project = Pointwise(hidden, channels)
        self.project_bn = nn.BatchNorm2d(channels)
        self.act = activation(act)
        self.skip: nn.Module = nn.Identity() if stride == 1 else strided_projection(channels, channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = self.act(self.expand_bn(self.expand(x)))
        y = self.act(self.depthwise_bn(self.depthwise(y)))
        return self.project_bn(self.project(y)) + self.skip(x)  # type: ignore[no-any-return]


class SeparableTCN(nn.Module):
    """Norm, ReLU, depthwise (9, 1) with stride, 1x1, norm, dropout: (N, C, T, V) -> (N, C, T/stride, V)."""

    def __init__(self, channels: int, *, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm_in = nn.BatchNorm2d(channels)
        self.depthwise = FrameDepthwise(channels, taps=9, stride=stride)
        self.pointwise = Pointwise(channels, channels)
        self.norm_out = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = self.pointwise(self.depthwise(torch.relu(self.norm_in(x))))
        return self.dropout(self.norm_out(y))  # type: ignore[no-any-return]


def strided_projection(channels_in: int, channels_out: int, *, stride: int, bias: bool = False) -> nn.Sequential:
    """1x1 conv and batch norm that brings a skip path to another width and frame rate."""
    conv = Pointwise(channels_in, channels_out, stride=stride, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out))
