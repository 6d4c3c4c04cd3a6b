"""An 8-bit graph as a torch module whose rounding lets gradients through: what is trained is what is shipped."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from last_edge.errors import InputError

INTEGERS = {np.dtype(kind): (np.iinfo(kind).min, np.iinfo(kind).max) for kind in (np.int8, np.uint8, np.int32)}
# Ends of symmetric 8-bit weights, and of weights that leave a bit free.
SYMMETRIC, SEVEN_BITS = 127, 64


class QdqModule(nn.Module):
    """The Q/DQ graph node by node in torch: points (N, T, V, C) -> logits (N, K), equal to the file's up to rounding.

    A second input is given by its name.
    Weights and biases behind a DequantizeLinear or a cast and a product with its scale, and float ones of convolutions
    and linear layers, are parameters; the scales stay. Activations are rounded with their scales and zero points.
    Gradients pass a rounding as if it were not there, and stop where a value is outside its range (Bengio et al. 2013).
    `InputError` for an operator that no exported graph has.
    """

    def __init__(self, graph: bytes) -> None:
        super().__init__()
        self.proto = onnx.load_from_string(graph)
        unknown = sorted({node.op_type for node in self.proto.graph.node} - {*OPERATORS, *self._own})
        if unknown:
            raise InputError("cannot train a graph with these operators", got=unknown)
        self._arrays = {item.name: numpy_helper.to_array(item) for item in self.proto.graph.initializer}
        self._constants: dict[str, Tensor] = {name: _tensor(value) for name, value in self._arrays.items()}
        self._restored = self._restored_weights()
        self._grids = {name: self._grid_of(name) for name in self._arrays}
        self._weights = nn.ParameterDict()
        for name in self._trained():
            self._weights[_key(name)] = nn.Parameter(self._start(name))

    @property
    def _own(self) -> dict[str, Callable[..., Any]]:
        return {"QuantizeLinear": self._quantise, "DequantizeLinear": self._dequantise}

    def forward(self, points: Tensor, **others: Tensor) -> Tensor:
        known: dict[str, Any] = {**self._constants, **others}
        known[self.proto.graph.input[0].name] = points
        for name in self._weights:
            known[_name(name)] = self._rounded(_name(name))
        for node in self.proto.graph.node:
            given = [known[name] if name else None for name in node.input]
            run = self._own.get(node.op_type)
            made = run(node, given) if run else OPERATORS[node.op_type](given, attributes_of(node))
            for name, value in zip(node.output, made if isinstance(made, Sequence) else [made], strict=False):
                known[name] = value
        return known[self.proto.graph.output[0].name]

    def to_bytes(self) -> bytes:
        """The graph with the trained weights, rounded as they were in training."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self.proto)
        for constant in proto.graph.initializer:
            if _key(constant.name) in self._weights:
                value = self._rounded(constant.name).detach().numpy().astype(self._arrays[constant.name].dtype)
                constant.CopyFrom(numpy_helper.from_array(value, constant.name))
        return bytes(proto.SerializeToString(deterministic=True))

    def _trained(self) -> list[str]:
        """Names of constants that are weights: what a DequantizeLinear restores, and float matrices and biases."""
        names = [node.input[0] for node in self.proto.graph.node if node.op_type == "DequantizeLinear"]
        shared = {name for name in names if names.count(name) > 1}
        names += self._restored
        for node in self.proto.graph.node:
            if node.op_type in ("Conv", "Gemm", "MatMul"):
                names += node.input[1:]
        arrays = self._arrays
        return [
            name
            for name in dict.fromkeys(names)
            if name in arrays and name not in shared and arrays[name].ndim and arrays[name].dtype in _TRAINED
        ]

    def _restored_weights(self) -> dict[str, str]:
        """8-bit constants that a cast and a product make the weight of a node, with the name of their scale."""
        nodes, arrays = self.proto.graph.node, self._arrays
        casts = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Cast" and node.input[0] in arrays}
        scaled = {
            node.output[0]: (casts[node.input[0]], node.input[1])
            for node in nodes
            if node.op_type == "Mul" and node.input[0] in casts
        }
        return dict(scaled[node.input[1]] for node in nodes if len(node.input) > 1 and node.input[1] in scaled)

    def _start(self, name: str) -> Tensor:
        """A weight's value in float."""
        value = torch.from_numpy(self._arrays[name].astype(np.float32))
        grid = self._grids[name]
        return value if grid is None else value * grid

    def _grid_of(self, name: str) -> Tensor | None:
        """The step of an 8-bit weight or 32-bit bias, shaped to its axes; None for a float one."""
        if name in self._restored:
            return self._constants[self._restored[name]]
        for node in self.proto.graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] == name:
                axis = attributes_of(node).get("axis", 1)
                return _along(self._constants[node.input[1]], self._arrays[name].ndim, axis)
        return None

    def _rounded(self, name: str) -> Tensor:
        """A weight as the graph stores it: whole numbers of its grid, or itself."""
        weight, grid = self._weights[_key(name)], self._grids[name]
        if grid is None:
            return weight
        low, high = INTEGERS[self._arrays[name].dtype]
        if high == SYMMETRIC:
            high = SEVEN_BITS if np.abs(self._arrays[name].astype(int)).max() <= SEVEN_BITS else SYMMETRIC
            low = -high
        return Rounded.apply(weight, grid, torch.zeros(()), low, high)  # type: ignore[no-untyped-call]

    def _quantise(self, node: onnx.NodeProto, given: list[Tensor]) -> Tensor:
        value, scale, zero = given
        low, high = INTEGERS[self._arrays[node.input[2]].dtype]
        return Rounded.apply(value, scale, zero, low, high)  # type: ignore[no-untyped-call]

    def _dequantise(self, node: onnx.NodeProto, given: list[Tensor]) -> Tensor:
        value, scale = given[:2]
        zero = given[2] if len(given) > 2 and given[2] is not None else torch.zeros(())
        axis = attributes_of(node).get("axis", 1)
        return (value - _along(zero, value.dim(), axis)) * _along(scale, value.dim(), axis)


_TRAINED = (np.dtype(np.int8), np.dtype(np.int32), np.dtype(np.float32))


class Rounded(torch.autograd.Function):
    """x / scale + zero to the nearest whole number within [low, high], halves to even.

    The gradient passes as if nothing were rounded, and stops outside.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int) -> Tensor:
        rounded = (x / scale).round_().add_(zero)
        ctx.save_for_backward((rounded >= low) & (rounded <= high), scale)
        return rounded.clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inside, scale = ctx.saved_tensors
        return (gradients[0] * inside).div_(scale), None, None, None, None


def _along(value: Tensor, axes: int, axis: int) -> Tensor:
    """A scale or zero point (C,) shaped to stand along one axis of a tensor."""
    if value.dim() == 0 or value.numel() == 1:
        return value.reshape(())
    return value.reshape([-1 if index == axis % axes else 1 for index in range(axes)])


def _tensor(value: np.ndarray[Any, np.dtype[Any]]) -> Tensor:
    """A constant; 8-bit and 32-bit whole numbers as float, shapes and indices as they are."""
    return torch.from_numpy(value.astype(np.float32) if value.dtype in INTEGERS else value.copy())


def _key(name: str) -> str:
    return name.replace(".", "@")


def _name(key: str) -> str:
    return key.replace("@", ".")


Inputs = list[Any]
Attributes = dict[str, Any]


def attributes_of(node: onnx.NodeProto) -> Attributes:
    """A node's attributes by name."""
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def _conv(given: Inputs, a: Attributes) -> Tensor:
    x, weight, *bias = given  # pads may differ before and after
    pads = a.get("pads", [0, 0, 0, 0])
    padded = nn.functional.pad(x, (pads[1], pads[3], pads[0], pads[2])) if any(pads) else x
    strides, dilations = tuple(a.get("strides", (1, 1))), tuple(a.get("dilations", (1, 1)))
    return nn.functional.conv2d(padded, weight, bias[0] if bias else None, strides, 0, dilations, a.get("group", 1))


def _gemm(given: Inputs, a: Attributes) -> Tensor:
    left, right, *bias = given
    left = left.T if a.get("transA") else left
    product = left @ (right.T if a.get("transB") else right) * a.get("alpha", 1.0)
    return product + bias[0] * a.get("beta", 1.0) if bias else product


def _slice(given: Inputs, a: Attributes) -> Tensor:
    x, starts, ends, axes = given[:4]
    steps = given[4].tolist() if len(given) > 4 else [1] * len(starts)
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes.tolist(), steps, strict=True):
        parts = [slice(None)] * x.dim()
        parts[axis] = slice(start, min(end, x.shape[axis]), step)
        x = x[tuple(parts)]
    return x


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
    return x.reshape(sizes)


def _unsqueeze(given: Inputs, a: Attributes) -> Tensor:
    x, axes = given[0], _axes(given) or []
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _squeeze(given: Inputs, a: Attributes) -> Tensor:
    return given[0].squeeze(_axes(given))


def _clip(given: Inputs, a: Attributes) -> Tensor:
    low, high = (given[index] if len(given) > index else None for index in (1, 2))
    return torch.clamp(given[0], low, high)


def _pool(given: Inputs, a: Attributes) -> Tensor:
    pads, strides = a.get("pads", [0, 0, 0, 0]), a.get("strides", [1, 1])
    counted = bool(a.get("count_include_pad", 0))
    return nn.functional.avg_pool2d(given[0], a["kernel_shape"], strides, pads[:2], count_include_pad=counted)


def _cast(given: Inputs, a: Attributes) -> Tensor:
    """To a kind that exported graphs cast to."""
    return given[0].to(CASTS[a["to"]])


def _layer_norm(given: Inputs, a: Attributes) -> Tensor:
    x, weight, bias = given
    return nn.functional.layer_norm(x, x.shape[a.get("axis", -1) :], weight, bias, a.get("epsilon", 1e-5))


CASTS = {onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.BOOL: torch.bool, onnx.TensorProto.INT32: torch.int32,
         onnx.TensorProto.INT64: torch.int64, onnx.TensorProto.INT8: torch.int8}  # fmt: skip


def _expand(given: Inputs, a: Attributes) -> Tensor:
    x, shape = given
    return x * torch.ones(shape.tolist())


def _gather(given: Inputs, a: Attributes) -> Tensor:
    x, index = given
    axis = a.get("axis", 0)
    return x.select(axis, int(index)) if index.dim() == 0 else x.index_select(axis, index)


def _simple(function: Callable[..., Any]) -> Callable[[Inputs, Attributes], Any]:
    return lambda given, a: function(*given)


OPERATORS: dict[str, Callable[[Inputs, Attributes], Any]] = {
    "Abs": _simple(torch.abs), "Acos": _simple(torch.acos), "Add": _simple(torch.add), "AveragePool": _pool,
    "Cast": _cast, "Clip": _clip,
    "Concat": lambda given, a: torch.cat(given, dim=a["axis"]), "Conv": _conv, "Div": _simple(torch.div),
    "Elu": lambda given, a: nn.functional.elu(given[0], a.get("alpha", 1.0)), "Equal": _simple(torch.eq),
    "Expand": _expand, "Gather": _gather, "Gelu": _simple(nn.functional.gelu), "Gemm": _gemm,
    "Greater": _simple(torch.gt),
    "HardSwish": _simple(nn.functional.hardswish), "IsNaN": _simple(torch.isnan),
    "LayerNormalization": _layer_norm, "Not": _simple(torch.logical_not), "ReduceMin": _reduce(torch.amin),
    "LogSoftmax": lambda given, a: torch.log_softmax(given[0], a.get("axis", -1)), "MatMul": _simple(torch.matmul),
    "Mul": _simple(torch.mul), "Pad": _pad, "Pow": _simple(torch.pow), "Reciprocal": _simple(torch.reciprocal),
    "ReduceLogSumExp": _reduce(torch.logsumexp), "ReduceMax": _reduce(torch.amax), "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum), "Relu": _simple(torch.relu), "Reshape": _reshape,
    "Sigmoid": _simple(torch.sigmoid), "Slice": _slice,
    "Softmax": lambda given, a: torch.softmax(given[0], a.get("axis", -1)), "Split": _split,
    "Sqrt": _simple(torch.sqrt), "Squeeze": _squeeze, "Sub": _simple(torch.sub),
    "Transpose": lambda given, a: given[0].permute(*a["perm"]), "Unsqueeze": _unsqueeze, "Where": _simple(torch.where),
}  # fmt: skip
