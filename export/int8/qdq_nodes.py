"""What the quantiser leaves in float and 8-bit kernels can take: Hardswish, and the weights of gates."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

FEWEST_WEIGHTS = 64
LARGE_HEAD = 16_384
"""Weights from which a layer of the head is most of the file."""
LARGEST = 127


def weights_in_8_bits(
    graph: onnx.GraphProto, names: Collection[str], *, everywhere: bool = False, explicit: bool = False
) -> None:
    """Weights of these convolutions and products as 8-bit constants, a scale an output channel; they run in float.

    A runtime restores them once, when it loads the file, for a cast and a product of constants are folded then, which
    a DequantizeLinear is not; explicit: by that all the same, for TensorRT takes nothing else. The front's and a small
    head's stay as they are, unless it is to be `everywhere`.
    """
    constants = {constant.name: constant for constant in graph.initializer}
    nodes = list(graph.node)
    rounding = [index for index, node in enumerate(nodes) if node.op_type == "QuantizeLinear"]
    first, last = (0, len(nodes)) if everywhere else (rounding[0], rounding[-1])
    for index, node in enumerate(nodes[first:], first):
        if node.name not in names or node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in constants:
            continue
        weight = numpy_helper.to_array(constants[node.input[1]])
        if weight.dtype == np.float32 and weight.size >= (FEWEST_WEIGHTS if index < last else LARGE_HEAD):
            _as_8_bits(graph, node, weight, constants[node.input[1]], explicit=explicit)


def _out_axis(node: onnx.NodeProto) -> int:
    """Axis of the output channels in a node's weight."""
    transposed = any(attribute.name == "transB" and attribute.i == 1 for attribute in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else -1


def _as_8_bits(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    weight: NDArray[np.float32],
    constant: onnx.TensorProto,
    *,
    explicit: bool,
) -> None:
    """Store one node's weight; a constant that several nodes read is stored once and restored for all of them."""
    name, out = node.input[1], _out_axis(node) % weight.ndim
    restored = f"{name}/float/{out}"
    if not any(restored in other.output for other in graph.node):
        at = list(graph.node).index(node)
        for made in reversed(_restoring(graph, node, weight, out, restored, explicit=explicit)):
            graph.node.insert(at, made)
    node.input[1] = restored
    if not any(name in other.input for other in graph.node):
        graph.initializer.remove(constant)


def _restoring(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    weight: NDArray[np.float32],
    out: int,
    restored: str,
    *,
    explicit: bool,
) -> list[onnx.NodeProto]:
    """Add the 8-bit constant and its scales; the nodes that make the weight of them again."""
    others = tuple(axis for axis in range(weight.ndim) if axis != out)
    scale = np.maximum(np.abs(weight).max(axis=others, keepdims=True) / LARGEST, np.finfo(np.float32).tiny)
    scale = scale.astype(np.float32)
    stored, by = f"{restored}/q", f"{restored}/scale"
    given = {stored: np.rint(weight / scale).astype(np.int8), by: scale.ravel() if explicit else scale}
    graph.initializer.extend(numpy_helper.from_array(value, label) for label, value in given.items())
    make = onnx.helper.make_node
    if explicit:
        return [make("DequantizeLinear", [stored, by], [restored], f"{node.name}/weight", axis=out)]
    return [
        make("Cast", [stored], [f"{restored}/cast"], f"{node.name}/cast", to=onnx.TensorProto.FLOAT),
        make("Mul", [f"{restored}/cast", by], [restored], f"{node.name}/weight"),
    ]


def hardswish_in_8_bits(graph: onnx.GraphProto, *, signed: bool) -> None:
    """x * clip(x / 6 + 1/2, 0, 1) between Q/DQ pairs: the clip is what rounding into [0, 1] in 255 steps saturates at.

    x / 6 reads the 8-bit x with a sixth of its scale, so that one sum and one product of 8-bit tensors remain.
    """
    made_by = {node.output[0]: node for node in graph.node}
    found = [node for node in graph.node if node.op_type == "HardSwish"]
    found = [node for node in found if made_by[node.input[0]].op_type == "DequantizeLinear"]
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    kind, low = (np.int8, -128) if signed else (np.uint8, 0)
    shared = {
        "hardswish/half": np.array(low + 1, kind), "hardswish/half_scale": np.array(0.5, np.float32),
        "hardswish/low": np.array(low, kind), "hardswish/step": np.array(1 / 255, np.float32),
    }  # fmt: skip
    if found:
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in shared.items())
    for node in found:
        quantised, scale, zero = made_by[node.input[0]].input
        sixth = np.array(constants[scale] / 6.0, np.float32)
        graph.initializer.append(numpy_helper.from_array(sixth, f"{node.name}/sixth"))
        at = list(graph.node).index(node)
        del graph.node[at]
        for made in reversed(_hardswish_nodes(node, quantised, zero)):
            graph.node.insert(at, made)


def _hardswish_nodes(node: onnx.NodeProto, quantised: str, zero: str) -> list[onnx.NodeProto]:
    make, name = onnx.helper.make_node, node.name
    gate = ["hardswish/step", "hardswish/low"]
    return [
        make("DequantizeLinear", [quantised, f"{name}/sixth", zero], [f"{name}/x6"]),
        make("DequantizeLinear", ["hardswish/half", "hardswish/half_scale", "hardswish/low"], [f"{name}/half"]),
        make("Add", [f"{name}/x6", f"{name}/half"], [f"{name}/sum"]),
        make("QuantizeLinear", [f"{name}/sum", *gate], [f"{name}/q"]),
        make("DequantizeLinear", [f"{name}/q", *gate], [f"{name}/gate"]),
        make("Mul", [node.input[0], f"{name}/gate"], [node.output[0]]),
    ]
