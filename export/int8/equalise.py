"""Cross-layer equalisation (Nagel et al. 2019): channels of like range, so that one scale serves a whole tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from last_edge.export.int8.activations import channel_statistics
from last_edge.inputs.features import Inputs

SMALLEST, LARGEST = 0.1, 10.0


@dataclass(frozen=True)
class Pair:
    """Two convolutions with nothing but a ReLU between them. between: the tensor that the second one reads."""

    first: onnx.NodeProto
    second: onnx.NodeProto
    between: str


def equalise(graph: bytes, inputs: Inputs) -> bytes:
    """The same function with every such pair's channels rescaled: relu(s x) = s relu(x) for s > 0.

    The weights have a scale a channel already, so it is the activations' ranges over the clips that come together,
    wholly where the second convolution is depthwise, else by the root, which leaves the other half to its weights.
    """
    proto = onnx.load_from_string(graph)
    pairs = relu_pairs(proto)
    if not pairs:
        return graph
    ranges = channel_statistics(graph, [pair.between for pair in pairs], inputs)
    constants = {constant.name: constant for constant in proto.graph.initializer}
    for pair in pairs:
        _rescale(pair, ranges[pair.between][1], constants)
    return bytes(proto.SerializeToString(deterministic=True))


def relu_pairs(proto: onnx.ModelProto) -> list[Pair]:
    """Pairs in the order of the graph; the second convolution is the ReLU's only reader."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in proto.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    pairs = []
    for node in proto.graph.node:
        after = readers.get(node.output[0], [])
        if node.op_type != "Conv" or [reader.op_type for reader in after] != ["Relu"] or len(node.input) < 3:
            continue
        second = readers.get(after[0].output[0], [])
        if [reader.op_type for reader in second] == ["Conv"]:
            pairs.append(Pair(node, second[0], after[0].output[0]))
    return pairs


def _rescale(pair: Pair, largest: NDArray[np.float64], constants: dict[str, onnx.TensorProto]) -> None:
    """Divide the first one's channels by s and multiply what the second one reads of them."""
    weight = numpy_helper.to_array(constants[pair.second.input[1]])
    depthwise = weight.shape[1] == 1
    used = np.maximum(largest, 1e-6 * max(largest.max(), 1e-12))
    if depthwise:
        scale = used / np.exp(np.log(used).mean())
    else:
        read = np.maximum(np.abs(weight).max(axis=(0, 2, 3)), 1e-12)
        scale = np.sqrt(used / read)
        scale = scale / np.exp(np.log(scale).mean())
    scale = np.clip(scale, SMALLEST, LARGEST)
    for name in pair.first.input[1:3]:
        value = numpy_helper.to_array(constants[name])
        _set(constants[name], value / scale.reshape(-1, *[1] * (value.ndim - 1)))
    shape = (-1, 1, 1, 1) if depthwise else (1, -1, 1, 1)
    _set(constants[pair.second.input[1]], weight * scale.reshape(shape))


def _set(constant: onnx.TensorProto, value: NDArray[np.float64]) -> None:
    constant.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), constant.name))
