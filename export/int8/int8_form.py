"""The form of a graph that 8-bit kernels run fast: joints padded to a multiple of four, products with graphs as convs.

An 8-bit product over 22 or 25 joints takes more than twice as long as one over 24 or 28, and as a convolution it takes
half as long as as a matrix product (ONNX Runtime 1.31 on AVX512-VNNI). The padded joints hold values that no real
joint reads: their rows in every graph are 0, and they are cut off before anything is summed over the joints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from last_edge.export.int8.int8_gates import gates_channels_last

MULTIPLE = 4
SWAP = [0, 3, 2, 1]  # (N, C, T, V) <-> (N, V, T, C)
CHANNELS_LAST, CHANNELS_SECOND = [0, 2, 3, 1], [0, 3, 1, 2]
JOINT_AXIS = 3
REDUCTIONS = ("ReduceMean", "ReduceMax", "ReduceSum")


@dataclass(frozen=True)
class GraphProduct:
    """A map times constant graphs, and the convolution that sums over them. matrix: (V, K*V)."""

    product: onnx.NodeProto
    taps: onnx.NodeProto
    matrix: NDArray[np.float32]

    @property
    def joints(self) -> int:
        """V."""
        return len(self.matrix)


def int8_form(graph: bytes) -> tuple[bytes, dict[str, str]]:
    """The same function in its 8-bit form, and for each tensor it adds the one whose range it has.

    A graph without constant products, or whose graphs depend on the sample, comes back as it is.
    """
    proto = onnx.load_from_string(graph)
    products = graph_products(proto)
    if not products or any(node.op_type == "Softmax" for node in proto.graph.node):
        return graph, {}
    joints = products[0].joints
    padded = -(-joints // MULTIPLE) * MULTIPLE
    gates_channels_last(proto, joints=joints, padded=padded)
    if padded > joints:
        _cut_before_reductions(proto, joints)
    ranges = _stem_channels_last(proto, padded - joints)
    for found in graph_products(proto):
        ranges |= _as_convolution(proto, found, padded)
    return proto.SerializeToString(deterministic=True), ranges


def graph_products(proto: onnx.ModelProto) -> list[GraphProduct]:
    """Every product with a constant (V, K*V) matrix that a convolution of dilation V reads."""
    constants = {constant.name: constant for constant in proto.graph.initializer}
    readers = {name: node for node in proto.graph.node for name in node.input}
    found = []
    for node in proto.graph.node:
        taps = readers.get(node.output[0])
        if node.op_type != "MatMul" or node.input[1] not in constants or taps is None or taps.op_type != "Conv":
            continue
        matrix = numpy_helper.to_array(constants[node.input[1]])
        if matrix.ndim == 2 and dilation(taps) == len(matrix):
            found.append(GraphProduct(node, taps, matrix))
    return found


def dilation(conv: onnx.NodeProto) -> int:
    """Of the joint axis; 1 where none is given."""
    given = [attribute.ints[1] for attribute in conv.attribute if attribute.name == "dilations"]
    return int(given[0]) if given else 1


def widened(matrix: NDArray[np.float32], padded: int) -> NDArray[np.float32]:
    """(V, K*V) -> (V', K*V') with rows and columns of 0 for the joints that are not there."""
    joints = len(matrix)
    by_graph = matrix.reshape(joints, -1, joints)
    spare = padded - joints
    return np.pad(by_graph, ((0, spare), (0, 0), (0, spare))).reshape(padded, -1)


def _as_convolution(proto: onnx.ModelProto, found: GraphProduct, padded: int) -> dict[str, str]:
    """Replace the product by a 1x1 convolution over joints; its ranges by name of the tensor that has them."""
    product, (source, name) = found.product, found.product.input
    target = product.output[0]
    weight = widened(found.matrix, padded).T[:, :, None, None]
    proto.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(weight), f"{name}/joints"))
    made = [
        onnx.helper.make_node("Transpose", [source], [f"{target}/in"], f"{product.name}/in", perm=SWAP),
        onnx.helper.make_node("Conv", [f"{target}/in", f"{name}/joints"], [f"{target}/out"], product.name),
        onnx.helper.make_node("Transpose", [f"{target}/out"], [target], f"{product.name}/out", perm=SWAP),
    ]
    _replace(proto, [product], made)
    _drop_unused(proto, [name])
    for attribute in found.taps.attribute:
        if attribute.name == "dilations":
            attribute.ints[1] = padded
    return {f"{target}/in": source, f"{target}/out": target}


def _stem_channels_last(proto: onnx.ModelProto, spare: int) -> dict[str, str]:
    """Spare joints for the streams, and the first convolution as a product that leaves channels last in memory.

    That is where 8-bit convolutions read them, so that the map is rounded as it comes and never reordered in float. The
    padding, whose value is 1, also makes the channel that carries the bias. A first convolution in groups stays one.
    """
    stem = next(node for node in proto.graph.node if node.op_type == "Conv")
    act = next(node for node in proto.graph.node if stem.output[0] in node.input)
    constants = {constant.name: numpy_helper.to_array(constant) for constant in proto.graph.initializer}
    weight = constants[stem.input[1]]
    bias = constants[stem.input[2]] if len(stem.input) > 2 else np.zeros(len(weight), np.float32)
    in_groups = act.op_type != "Relu" or weight.shape[1] != _channels(proto, stem.input[0])
    streams = _padded(proto, stem, channels=0 if in_groups else 1, joints=spare)
    if in_groups:
        stem.input[0] = streams
        return {}
    name, target, last = stem.name, act.output[0], f"{act.output[0]}/last"
    matrix = np.concatenate([weight[:, :, 0, 0].T, bias[None]])
    proto.graph.initializer.append(numpy_helper.from_array(matrix, f"{name}/matrix"))
    made = [
        onnx.helper.make_node("Transpose", [streams], [f"{name}/x"], f"{name}/x", perm=CHANNELS_LAST),
        onnx.helper.make_node("MatMul", [f"{name}/x", f"{name}/matrix"], [f"{name}/sum"], f"{name}/sum"),
        onnx.helper.make_node("Relu", [f"{name}/sum"], [last], f"{name}/act"),
        onnx.helper.make_node("Transpose", [last], [target], "Transpose_stem", perm=CHANNELS_SECOND),
    ]
    unused = list(stem.input[1:])
    _replace(proto, [stem, act], made)
    _drop_unused(proto, unused)
    return {last: target}


def _padded(proto: onnx.ModelProto, reader: onnx.NodeProto, *, channels: int, joints: int) -> str:
    """A node's input map with further channels and joints of value 1; its name."""
    if not channels + joints:
        return str(reader.input[0])
    pads = np.array([0, 0, 0, 0, 0, channels, 0, joints], np.int64)
    proto.graph.initializer.append(numpy_helper.from_array(pads, "streams/pads"))
    proto.graph.initializer.append(numpy_helper.from_array(np.array(1.0, np.float32), "streams/one"))
    inputs = [reader.input[0], "streams/pads", "streams/one"]
    node = onnx.helper.make_node("Pad", inputs, ["streams/padded"], "Pad_streams")
    proto.graph.node.insert(list(proto.graph.node).index(reader), node)
    return "streams/padded"


def _channels(proto: onnx.ModelProto, name: str) -> int:
    """C of a tensor (N, C, T, V); 0 where no shape is known."""
    inferred = onnx.shape_inference.infer_shapes(proto).graph.value_info
    return next((value.type.tensor_type.shape.dim[1].dim_value for value in inferred if value.name == name), 0)


def _replace(proto: onnx.ModelProto, old: list[onnx.NodeProto], new: list[onnx.NodeProto]) -> None:
    at = list(proto.graph.node).index(old[0])
    for node in old:
        del proto.graph.node[list(proto.graph.node).index(node)]
    for node in reversed(new):
        proto.graph.node.insert(at, node)


def _drop_unused(proto: onnx.ModelProto, names: Iterable[str]) -> None:
    read = {name for node in proto.graph.node for name in node.input}
    for constant in [constant for constant in proto.graph.initializer if constant.name in names]:
        if constant.name not in read:
            proto.graph.initializer.remove(constant)


def _cut_before_reductions(proto: onnx.ModelProto, joints: int) -> None:
    """Only real joints where something behind the first convolution is summed or compared over joints."""
    nodes = list(proto.graph.node)
    first = next(index for index, node in enumerate(nodes) if node.op_type == "Conv")
    constants = {constant.name: numpy_helper.to_array(constant) for constant in proto.graph.initializer}
    reducing = [node for node in nodes[first:] if node.op_type in REDUCTIONS and _over_joints(node, constants)]
    bounds = {"joints/start": 0, "joints/end": joints, "joints/axis": JOINT_AXIS}
    for name, value in bounds.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
    for name in dict.fromkeys(node.input[0] for node in reducing):
        cut = f"{name}/joints"
        readers = [node for node in reducing if node.input[0] == name]
        made = onnx.helper.make_node("Slice", [name, *bounds], [cut], f"Slice_{name}")
        proto.graph.node.insert(min(list(proto.graph.node).index(node) for node in readers), made)
        for node in readers:
            node.input[0] = cut


def _over_joints(node: onnx.NodeProto, constants: dict[str, NDArray[np.float32]]) -> bool:
    """Whether a reduction of a feature map goes over its last axis."""
    if len(node.input) < 2:
        return False
    axes = constants.get(node.input[1])
    return axes is not None and any(int(axis) in (JOINT_AXIS, -1) for axis in axes.ravel())
