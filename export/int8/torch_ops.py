"""The operators of exported graphs in torch: (inputs, attributes) -> output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
import torch
from torch import Tensor, nn

Inputs = list[Any]
Attributes = dict[str, Any]


def attributes_of(node: onnx.NodeProto) -> Attributes:
    """A node's attributes by name."""
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, a: Attributes) -> Tensor:
    """A convolution with ONNX's attributes, whose pads may differ before and after."""
    pads = a.get("pads", [0, 0, 0, 0])
    padded = nn.functional.pad(x, (pads[1], pads[3], pads[0], pads[2])) if any(pads) else x
    strides, dilations = tuple(a.get("strides", (1, 1))), tuple(a.get("dilations", (1, 1)))
    return nn.functional.conv2d(padded, weight, bias, strides, 0, dilations, a.get("group", 1))


def _conv(given: Inputs, a: Attributes) -> Tensor:
    x, weight, *bias = given
    return convolve(x, weight, bias[0] if bias else None, a)


def _gemm(given: Inputs, a: Attributes) -> Tensor:
    left, right, *bias = given
    left = left.T if a.get("transA") else left
    product = left @ (right.T if a.get("transB") else right) * a.get("alpha", 1.0)
    return product + bias[0] * a.get("beta", 1.0) if bias else product  # type: ignore[no-any-return]


def _slice(given: Inputs, a: Attributes) -> Tensor:
    x, starts, ends, axes = given[:4]
    steps = given[4].tolist() if len(given) > 4 else [1] * len(starts)
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes.tolist(), steps, strict=True):
        parts = [slice(None)] * x.dim()
        parts[axis] = slice(start, min(end, x.shape[axis]), step)
        x = x[tuple(parts)]
    return x  # type: ignore[no-any-return]


def _pad(given: Inputs, a: Attributes) -> Tensor:
    x, pads, *value = given
    half = len(pads) // 2
    sizes = [int(size) for axis in reversed(range(half)) for size in (pads[axis], pads[axis + half])]
    return nn.functional.pad(x, sizes, value=float(value[0]) if value and value[0] is not None else 0.0)


def _axes(given: Inputs) -> list[int] | None:
    return None if len(given) < 2 or given[1] is None else [int(axis) for axis in given[1].reshape(-1)]


def _reduce(function: Callable[..., Tensor]) -> Callable[[Inputs, Attributes], Tensor]:
    def run(given: Inputs, a: Attributes) -> Tensor:
        axes = _axes(given) or list(range(given[0].dim()))
        return function(given[0], dim=axes, keepdim=bool(a.get("keepdims", 1)))

    return run


def _split(given: Inputs, a: Attributes) -> list[Tensor]:
    x, axis = given[0], a.get("axis", 0)
    if len(given) > 1:
        return list(x.split(given[1].tolist(), dim=axis))
    return list(x.chunk(a["num_outputs"], dim=axis))


def _reshape(given: Inputs, a: Attributes) -> Tensor:
    x, shape = given
    sizes = [x.shape[index] if size == 0 else int(size) for index, size in enumerate(shape.tolist())]
    return x.reshape(sizes)  # type: ignore[no-any-return]


def _unsqueeze(given: Inputs, a: Attributes) -> Tensor:
    x, axes = given[0], _axes(given) or []
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x  # type: ignore[no-any-return]


def _squeeze(given: Inputs, a: Attributes) -> Tensor:
    return given[0].squeeze(_axes(given))  # type: ignore[no-any-return]


def _clip(given: Inputs, a: Attributes) -> Tensor:
    low, high = (given[index] if len(given) > index else None for index in (1, 2))
    return torch.clamp(given[0], low, high)


def _pool(given: Inputs, a: Attributes) -> Tensor:
    pads, strides = a.get("pads", [0, 0, 0, 0]), a.get("strides", [1, 1])
    counted = bool(a.get("count_include_pad", 0))
    return nn.functional.avg_pool2d(given[0], a["kernel_shape"], strides, pads[:2], count_include_pad=counted)


def _cast(given: Inputs, a: Attributes) -> Tensor:
    """To float, the only kind that an 8-bit graph casts to."""
    assert a["to"] == onnx.TensorProto.FLOAT
    return given[0].float()  # type: ignore[no-any-return]


def _expand(given: Inputs, a: Attributes) -> Tensor:
    x, shape = given
    return x * torch.ones(shape.tolist())  # type: ignore[no-any-return]


def _gather(given: Inputs, a: Attributes) -> Tensor:
    x, index = given
    axis = a.get("axis", 0)
    return x.select(axis, int(index)) if index.dim() == 0 else x.index_select(axis, index)  # type: ignore[no-any-return]


def _simple(function: Callable[..., Any]) -> Callable[[Inputs, Attributes], Any]:
    return lambda given, a: function(*given)


OPERATORS: dict[str, Callable[[Inputs, Attributes], Any]] = {
    "Abs": _simple(torch.abs),
    "Add": _simple(torch.add),
    "AveragePool": _pool,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda given, a: torch.cat(given, dim=a["axis"]),
    "Conv": _conv,
    "Div": _simple(torch.div),
    "Elu": lambda given, a: nn.functional.elu(given[0], a.get("alpha", 1.0)),
    "Equal": _simple(torch.eq),
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _gemm,
    "Greater": _simple(torch.gt),
    "HardSwish": _simple(nn.functional.hardswish),
    "IsNaN": _simple(torch.isnan),
    "LogSoftmax": lambda given, a: torch.log_softmax(given[0], a.get("axis", -1)),
    "MatMul": _simple(torch.matmul),
    "Mul": _simple(torch.mul),
    "Pad": _pad,
    "Pow": _simple(torch.pow),
    "Reciprocal": _simple(torch.reciprocal),
    "ReduceLogSumExp": _reduce(torch.logsumexp),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _simple(torch.relu),
    "Reshape": _reshape,
    "Sigmoid": _simple(torch.sigmoid),
    "Slice": _slice,
    "Softmax": lambda given, a: torch.softmax(given[0], a.get("axis", -1)),
    "Split": _split,
    "Sqrt": _simple(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _simple(torch.sub),
    "Transpose": lambda given, a: given[0].permute(*a["perm"]),
    "Unsqueeze": _unsqueeze,
    "Where": _simple(torch.where),
}
