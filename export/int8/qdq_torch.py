"""An 8-bit graph as a torch module whose rounding lets gradients through: what is trained is what is shipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from last_edge.errors import InputError
from last_edge.export.int8.torch_ops import OPERATORS, attributes_of

INTEGERS = {np.dtype(kind): (np.iinfo(kind).min, np.iinfo(kind).max) for kind in (np.int8, np.uint8, np.int32)}
# Ends of symmetric 8-bit weights, and of weights that leave a bit free.
SYMMETRIC, SEVEN_BITS = 127, 64


class QdqModule(nn.Module):
    """The Q/DQ graph node by node in torch: points (N, T, V, C) -> logits (N, K), equal to the file's up to rounding.

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

    def forward(self, points: Tensor) -> Tensor:
        """See the class."""
        known: dict[str, Any] = dict(self._constants)
        known[self.proto.graph.input[0].name] = points
        for name in self._weights:
            known[_name(name)] = self._rounded(_name(name))
        for node in self.proto.graph.node:
            given = [known[name] if name else None for name in node.input]
            run = self._own.get(node.op_type)
            made = run(node, given) if run else OPERATORS[node.op_type](given, attributes_of(node))
            for name, value in zip(node.output, made if isinstance(made, Sequence) else [made], strict=False):
                known[name] = value
        return known[self.proto.graph.output[0].name]  # type: ignore[no-any-return]

    def to_bytes(self) -> bytes:
        """The graph with the trained weights, rounded as they were in training."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self.proto)
        for constant in proto.graph.initializer:
            if _key(constant.name) in self._weights:
                value = self._stored(constant.name)
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
            return weight  # type: ignore[no-any-return]
        low, high = INTEGERS[self._arrays[name].dtype]
        if high == SYMMETRIC:
            high = SEVEN_BITS if np.abs(self._arrays[name].astype(int)).max() <= SEVEN_BITS else SYMMETRIC
            low = -high
        return Rounded.apply(weight, grid, torch.zeros(()), low, high)  # type: ignore[no-untyped-call, no-any-return]

    def _stored(self, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        return self._rounded(name).detach().numpy().astype(self._arrays[name].dtype)

    def _quantise(self, node: onnx.NodeProto, given: list[Tensor]) -> Tensor:
        value, scale, zero = given
        low, high = INTEGERS[self._arrays[node.input[2]].dtype]
        return Rounded.apply(value, scale, zero, low, high)  # type: ignore[no-untyped-call, no-any-return]

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
        """See the class."""
        rounded = (x / scale).round_().add_(zero)
        ctx.save_for_backward((rounded >= low) & (rounded <= high), scale)
        return rounded.clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """See the class."""
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
