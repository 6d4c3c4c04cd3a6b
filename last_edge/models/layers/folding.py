"""Folding one layer into its neighbour: batch norms and affine maps into convolutions and linear layers."""

from typing import TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """A batch norm in eval mode as y = scale * x + shift, both (C,)."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def scales_and_shifts(norms: nn.ModuleList) -> tuple[Tensor, Tensor]:
    """Norms of neighbouring groups of channels as one."""
    parts = [scale_and_shift(norm) for norm in norms]
    scale, shift = (torch.cat(side) for side in zip(*parts, strict=True))
    return scale, shift


def conv_bn(conv: nn.Conv2d, norm: nn.Module) -> nn.Conv2d:
    """Convolution followed by batch norm as one convolution with bias."""
    scale, shift = scale_and_shift(norm)
    bias = shift if conv.bias is None else shift + conv.bias * scale
    return conv_like(conv, weight=conv.weight * scale[:, None, None, None], bias=bias)


def bn_conv(scale: Tensor, shift: Tensor, conv: nn.Conv2d) -> nn.Conv2d:
    """y = conv(scale * x + shift) of a 1x1 convolution as one convolution with bias."""
    weight = conv.weight * scale[None, :, None, None]
    bias = (conv.weight * shift[None, :, None, None]).sum(dim=(1, 2, 3))
    return conv_like(conv, weight=weight, bias=bias if conv.bias is None else bias + conv.bias)


def conv_like(conv: nn.Conv2d, *, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A plain convolution with this one's stride, padding and groups, and other weights."""
    made = nn.Conv2d(
        weight.shape[1] * conv.groups,
        weight.shape[0],
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        groups=conv.groups,
        bias=bias is not None,
        dtype=weight.dtype,
    )
    return with_weights(made, weight, bias)


def pointwise(weight: Tensor, bias: Tensor | None = None, *, groups: int = 1) -> nn.Conv2d:
    """A 1x1 convolution from a matrix (C', C / groups)."""
    made = nn.Conv2d(weight.shape[1] * groups, len(weight), 1, groups=groups, bias=bias is not None, dtype=weight.dtype)
    return with_weights(made, weight[:, :, None, None], bias)


def affine(scale: Tensor, shift: Tensor) -> nn.Conv2d:
    """y = scale * x + shift a channel, as a convolution that an activation can be fused with."""
    return pointwise(scale[:, None], shift, groups=len(scale))


def taps(by_subset: Tensor, bias: Tensor | None, *, joints: int) -> nn.Conv2d:
    """(C', K, C) matrices as the (1, K) convolution that reads a joint under each of K graphs side by side."""
    width, subsets, channels = by_subset.shape
    made = nn.Conv2d(channels, width, (1, subsets), dilation=(1, joints), bias=bias is not None, dtype=by_subset.dtype)
    return with_weights(made, by_subset.transpose(1, 2)[:, :, None, :], bias)


def side_by_side(graph: Tensor) -> Tensor:
    """(K, V, V) -> (V, K*V)."""
    return graph.transpose(0, 1).flatten(1).contiguous()


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A linear layer from a matrix (C', C)."""
    return with_weights(
        nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype), weight, bias
    )


def with_weights(layer: Layer, weight: Tensor, bias: Tensor | None) -> Layer:
    """The layer with these weights."""
    layer.weight.data = weight.detach().clone().contiguous()
    if bias is not None:
        assert layer.bias is not None
        layer.bias.data = bias.detach().clone()
    return layer


def projection(module: nn.Module) -> nn.Module:
    """A skip path: the identity, or conv and batch norm as one conv."""
    if not isinstance(module, nn.Sequential):
        return module
    conv, norm = module
    assert isinstance(conv, nn.Conv2d)
    return conv_bn(conv, norm)
