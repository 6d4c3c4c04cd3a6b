"""Q/DQ pairs into a graph from known ranges, in the 8-bit format of a target."""

from __future__ import annotations

import platform
from collections.abc import Collection
from dataclasses import dataclass

import onnx
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from last_edge.errors import UsageError
from last_edge.export.int8.int8_form import int8_form
from last_edge.export.int8.int8_gates import float_around_gates
from last_edge.export.int8.qdq_nodes import hardswish_in_8_bits, weights_in_8_bits
from last_edge.export.int8.ranges import QUANTISED, door
from last_edge.export.onnx.compact import compact
from last_edge.names import did_you_mean


@dataclass(frozen=True)
class Target:
    """One 8-bit format; weights are signed and symmetric, a scale a channel, everywhere.

    signed: activations are s8, else u8. symmetric: their zero point is 0. quantize_bias: biases become int32.
    seven_bit_weights: leave a bit of the products' sums. kernel_form: rewrite the graph as `int8_form` does. explicit:
    nothing but a DequantizeLinear reads what is stored in 8 bits. machines: the processors, as `platform.machine` calls
    them, on which its speed says something; None for all. why: for people.
    """

    name: str
    why: str
    signed: bool = False
    symmetric: bool = False
    quantize_bias: bool = True
    seven_bit_weights: bool = False
    kernel_form: bool = True
    explicit: bool = False
    machines: tuple[str, ...] | None = None

    @property
    def runs_here(self) -> bool:
        """Whether this machine's processor is one that the format is made for."""
        return self.machines is None or platform.machine().lower() in self.machines

    @property
    def precision(self) -> str:
        """What the bundle calls the file of this target: `int8` for the usual one."""
        return "int8" if self.name == USUAL_TARGET else f"int8-{self.name}"


USUAL_TARGET = "cpu-vnni"
TARGETS = {
    target.name: target
    for target in (
        Target("cpu-vnni", "x86 with AVX-VNNI or AMX multiplies u8 by s8"),
        Target("arm64", "ARMv8 dot products multiply s8 by s8", signed=True, machines=("aarch64", "arm64")),
        Target(
            "tensorrt",
            "TensorRT takes symmetric s8 in explicit Q/DQ pairs and float biases",
            signed=True,
            symmetric=True,
            quantize_bias=False,
            kernel_form=False,
            explicit=True,
            machines=(),
        ),
        Target("web", "WASM's relaxed dot product is exact for 7-bit weights alone", seven_bit_weights=True),
    )
}


def target_named(name: str) -> Target:
    """A preset; `UsageError` with the nearest names when unknown."""
    if name not in TARGETS:
        raise UsageError(f"unknown target {name!r}", expected=did_you_mean(name, TARGETS))
    return TARGETS[name]


MAP_AXES = 4


def with_qdq(
    graph: bytes,
    ranges: TensorsData,
    target: Target,
    *,
    keep_float: Collection[str] = (),
    float_head: bool = True,
) -> bytes:
    """The 8-bit graph of an FP32 one. keep_float: nodes that stay float; see `float_nodes`."""
    excluded = float_nodes(onnx.load_from_string(graph), keep_float=keep_float, float_head=float_head)
    named = set(keep_float)
    same: dict[str, str] = {}
    if target.kernel_form:
        excluded |= float_around_gates(onnx.load_from_string(graph))
        graph, same = int8_form(graph)
    known = {**ranges.data, **{new: ranges.data[old] for new, old in same.items() if old in ranges.data}}
    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))
    excluded |= {name for name in _names(proto) if name.rpartition("/")[0] in excluded}
    activations = QuantType.QInt8 if target.signed else QuantType.QUInt8
    quantizer = QDQQuantizer(
        proto,
        True,  # per channel
        target.seven_bit_weights,
        QuantType.QInt8,
        activations,
        TensorsData(ranges.calibration_method, known),
        [],
        sorted(excluded),
        list(QUANTISED),
        {
            "WeightSymmetric": True,
            "ActivationSymmetric": target.symmetric,
            "QuantizeBias": target.quantize_bias,
            "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
        },
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    if target.kernel_form:
        hardswish_in_8_bits(quantizer.model.model.graph, signed=target.signed)
    weights_in_8_bits(quantizer.model.model.graph, excluded - named, explicit=target.explicit)
    quantizer.model.topological_sort()
    return bytes(compact(quantizer.model.model).SerializeToString(deterministic=True))


def float_nodes(proto: onnx.ModelProto, *, keep_float: Collection[str] = (), float_head: bool = True) -> set[str]:
    """Names of the nodes that stay float: up to the first convolution, gates and attention, the head, and those named.

    The front's inputs differ in scale by an order of magnitude. A gate reads means of a map, a thousandth of the work,
    and its softmax and sigmoids need their resolution.
    """
    proto = onnx.shape_inference.infer_shapes(proto)
    nodes, names = list(proto.graph.node), _names(proto)
    for name in keep_float:
        if name not in names:
            raise UsageError(f"unknown node {name!r}", expected=did_you_mean(name, names))
    maps = _maps(proto)
    kept = {*names[: door(nodes) + 1], *keep_float}
    kept |= {node.name for node in nodes if not _whole_map(node, proto, maps)}
    if float_head:
        last = max(index for index, node in enumerate(nodes) if node.op_type == "Add" and node.output[0] in maps)
        kept |= set(names[last + 1 :])
    return kept


def _names(proto: onnx.ModelProto) -> list[str]:
    return [node.name for node in proto.graph.node]


def _maps(proto: onnx.ModelProto) -> set[str]:
    """Tensors with more than one frame and joint."""
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in proto.graph.value_info
    }
    return {name for name, shape in shapes.items() if len(shape) == MAP_AXES and 1 not in shape[2:]}


def _whole_map(node: onnx.NodeProto, proto: onnx.ModelProto, maps: set[str]) -> bool:
    """Whether a node takes a map to a map by constants alone, or adds two maps."""
    constants = {constant.name for constant in proto.graph.initializer}
    read = [name for name in node.input if name not in constants]
    if node.op_type == "MatMul" and (len(read) > 1 or node.input[0] in constants):
        return False
    return node.output[0] in maps and all(name in maps for name in read)
