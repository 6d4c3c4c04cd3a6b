"""1x1 convolution as one matrix product."""

import torch
from torch import Tensor, nn


def channels_last(x: Tensor) -> Tensor:
    """(N, C, T, V) -> (N, T, V, C) without a copy; contiguous where the feature map lies channels last in memory."""
    return x.permute(0, 2, 3, 1)


class Pointwise(nn.Conv2d):
    """(N, C, T, V) -> (N, C', T/stride, V), channels last in memory, where the product needs no reordering.

    A convolution's own backward pass on a CPU reorders both operands and takes several times as long; see
    docs/benchmarks.
    """

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1, bias: bool = False) -> None:
        super().__init__(channels_in, channels_out, 1, (stride, 1), bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        rows = channels_last(input)[:, :: self.stride[0]]
        return nn.functional.linear(rows, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class FrameDepthwise(nn.Conv2d):
    """Each channel's own filter over `taps` frames: (N, C, T, V) -> (N, C, T/stride, V).

    In training a stride is taken by leaving frames out afterwards: on a CPU the backward pass of a strided depthwise
    convolution is slower than twice the work without a stride.
    """

    def __init__(self, channels: int, *, taps: int, stride: int) -> None:
        super().__init__(channels, channels, (taps, 1), (stride, 1), (taps // 2, 0), groups=channels, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.stride[0] == 1:
            return super().forward(input)
        dense = nn.functional.conv2d(input, self.weight, None, 1, self.padding, 1, self.groups)
        return channels_last(dense)[:, :: self.stride[0]].contiguous().permute(0, 3, 1, 2)


class JointReadout(nn.Conv2d):
    """`sums` weighted sums over the joints of each channel: (N, C, T, V) -> (N, C*sums, T, 1).

    In training one dense product with zeros between the channels: on a CPU the backward pass of a grouped convolution
    takes many times as long.
    """

    def __init__(self, channels: int, *, joints: int, sums: int) -> None:
        super().__init__(channels, channels * sums, (1, joints), groups=channels, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        by_channel = self.weight[:, 0, 0].reshape(self.groups, -1, self.kernel_size[1])
        dense = torch.diag_embed(by_channel.permute(2, 1, 0)).transpose(1, 2).flatten(2).flatten(0, 1)
        rows = channels_last(input).flatten(2)
        made = (rows @ dense).reshape(*rows.shape[:2], -1, self.groups).transpose(-1, -2).flatten(-2)
        return made[:, :, None].permute(0, 3, 1, 2)


def stacked_product(adjacency: Tensor, groups: Tensor) -> Tensor:
    """sum_k A_k^T groups_k of every frame: A ([N,] K, V, V) as [v, w], groups (N, K*C, T, V) -> (N, C, T, V).

    One product with all K graphs side by side, so that the sum over k happens inside it. An adjacency with N has
    graphs of each sample's own.
    """
    subsets, joints = adjacency.shape[-3], adjacency.shape[-1]
    count, _, frames, _ = groups.shape
    rows = channels_last(groups).reshape(count * frames, joints * subsets, -1)
    stacked = adjacency.to(groups.dtype).movedim(-1, -3).transpose(-1, -2).flatten(-2)
    shape = (count, frames, joints, joints * subsets)
    graphs = stacked[:, None].expand(shape) if stacked.dim() == 3 else stacked.expand(shape)
    product = torch.bmm(graphs.reshape(count * frames, joints, -1), rows)
    return product.reshape(count, frames, joints, -1).permute(0, 3, 1, 2)


def spread_product(adjacency: Tensor, x: Tensor) -> Tensor:
    """A_k^T x of every frame, all k side by side: A (N, K, V, V) as [v, w], (N, C, T, V) -> (N, K*C, T, V).

    The companion of `stacked_product` for graphs that come before their convolution.
    """
    count, subsets, joints, _ = adjacency.shape
    frames = x.shape[2]
    rows = channels_last(x).reshape(count * frames, joints, -1)
    spread = adjacency.to(x.dtype).permute(0, 3, 1, 2).reshape(count, 1, joints * subsets, joints)
    graphs = spread.expand(count, frames, -1, -1).reshape(count * frames, joints * subsets, joints)
    return torch.bmm(graphs, rows).reshape(count, frames, joints, -1).permute(0, 3, 1, 2)
