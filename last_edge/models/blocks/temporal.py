"""Temporal convolution of the LAST-E and LAST-Lite blocks."""

from __future__ import annotations

from torch import Tensor, nn

from last_edge.models.blocks.activation import activation


class EpSepTCN(nn.Module):
    """Expand 1x1, depthwise (5, 1) with stride, project 1x1, plus skip: (N, C, T, V) -> (N, C, T/stride, V).

    The skip is the identity, or a strided 1x1 conv and batch norm. Nothing follows the sum.
    """

    def __init__(self, channels: int, *, stride: int = 1, expand: int = 2, act: str = "hardswish") -> None:
        super().__init__()
        hidden = channels * expand
        self.expand = nn.Conv2d(channels, hidden, 1, bias=False)
        self.expand_bn = nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, (5, 1), (stride, 1), (2, 0), groups=hidden, bias=False)
        self.depthwise_bn = nn.BatchNorm2d(hidden)
        self.project = nn.Conv2d(hidden, channels, 1, bias=False)
        self.project_bn = nn.BatchNorm2d(channels)
        self.act = activation(act)
        self.skip: nn.Module = nn.Identity() if stride == 1 else strided_projection(channels, channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = self.act(self.expand_bn(self.expand(x)))
        y = self.act(self.depthwise_bn(self.depthwise(y)))
        return self.project_bn(self.project(y)) + self.skip(x)  # type: ignore[no-any-return]


def strided_projection(channels_in: int, channels_out: int, *, stride: int) -> nn.Sequential:
    """1x1 conv and batch norm that brings a skip path to another width and frame rate."""
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, (stride, 1), bias=False), nn.BatchNorm2d(channels_out))
