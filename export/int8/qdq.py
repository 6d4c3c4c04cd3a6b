"""Q/DQ pairs into a graph from known ranges, in the 8-bit format of a target."""

import platform
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common as passes
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxscript.rewriter import RewriteRule, RewriteRuleSet

from last_edge.export.int8.kernel_form import array, constant, float_around_gates, kernel_form
from last_edge.export.int8.ranges import QUANTISED, first_map
from last_edge.export.onnx.onnx_graph import serialised
from last_edge.names import check_known


@dataclass(frozen=True)
class Target:
    """One 8-bit format; weights are signed and symmetric, a scale a channel, everywhere.

    signed: activations are s8, else u8. symmetric: their zero point is 0. quantize_bias: biases become int32.
    seven_bit_weights: leave a bit of the products' sums. kernel_form: rewrite the graph by `kernel_form`. explicit:
    nothing but a DequantizeLinear reads what is stored in 8 bits. machines: the processors, as `platform.machine` calls
    them, on which its speed says something; None for all.
    """

    name: str
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
        Target("cpu-vnni"),  # x86 with AVX-VNNI or AMX multiplies u8 by s8
        Target("arm64", signed=True, machines=("aarch64", "arm64")),  # SDOT, SMMLA and plain NEON multiply s8 by s8
        Target(  # symmetric s8 in explicit Q/DQ pairs and float biases
            "tensorrt", signed=True, symmetric=True, quantize_bias=False, kernel_form=False, explicit=True, machines=()
        ),
        Target("web", seven_bit_weights=True),  # WASM's relaxed dot product is exact for 7-bit weights alone
    )
}


def target_named(name: str) -> Target:
    """A preset; `UsageError` with the nearest names when unknown."""
    check_known(name, TARGETS, "target")
    return TARGETS[name]


MAP_AXES = 4
PRODUCT = "MatMul"
FEWEST_WEIGHTS = 64
LARGE_HEAD = 16_384
"""Weights from which a layer of the head is most of the file."""
LARGEST = 127


def read_graph(graph: bytes) -> ir.Model:
    """A graph to be rewritten, with the shape of every value that has one."""
    model: ir.Model = ir.from_proto(onnx.shape_inference.infer_shapes(onnx.load_from_string(graph)))
    return model


def with_qdq(
    graph: bytes, ranges: TensorsData, target: Target, *, keep_float: Collection[str] = (), float_head: bool = True
) -> bytes:
    """The 8-bit graph of an FP32 one. keep_float: nodes that stay float; see `float_nodes`."""
    model = read_graph(graph)
    excluded = float_nodes(model, keep_float=keep_float, float_head=float_head)
    if of_tokens(model):
        made = products_in_8_bits(model, ranges, target, products={str(node.name) for node in model.graph} - excluded)
        stored = {str(node.name) for node in model.graph if node.op_type == "Conv" or _is_large_head(node)}
        weights_in_8_bits(made.graph, stored - set(keep_float), everywhere=True, explicit=target.explicit)
        return compact(made)
    known = dict(ranges.data)
    if target.kernel_form:
        excluded |= float_around_gates(model)
        known |= {new: known[old] for new, old in kernel_form(model).items() if old in known}
    excluded |= {str(node.name) for node in model.graph if str(node.name).rpartition("/")[0] in excluded}
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    made = with_pairs(
        proto, TensorsData(ranges.calibration_method, known),
        activations=QuantType.QInt8 if target.signed else QuantType.QUInt8, excluded=excluded,
        seven_bit_weights=target.seven_bit_weights, ActivationSymmetric=target.symmetric,
        QuantizeBias=target.quantize_bias,
    )  # fmt: skip
    if target.kernel_form:
        hardswish = RewriteRule(lambda op, x: op.HardSwish(x, _outputs=["y"]), _hardswish_in_8_bits, _reads_8_bits)
        RewriteRuleSet([hardswish]).apply_to_model(made)
    weights_in_8_bits(made.graph, excluded - set(keep_float), explicit=target.explicit)
    return compact(made)


def of_tokens(model: ir.Model) -> bool:
    """Whether a graph is a transformer's: products alone behind the convolution that makes the tokens."""
    kinds = [node.op_type for node in model.graph]
    return "Softmax" in kinds and kinds.count("Conv") == 1


def products_in_8_bits(model: ir.Model, ranges: TensorsData, target: Target, *, products: Collection[str]) -> ir.Model:
    """A transformer's graph whose named products read 8-bit values and write float.

    Its maps are small, so that rounding every sum, norm and GELU between products costs more than it saves, and rounds
    what attention then compares.
    """
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    made = with_pairs(
        proto, ranges, activations=QuantType.QInt8 if target.signed else QuantType.QUInt8,
        excluded={node.name for node in proto.graph.node} - set(products), kinds=(PRODUCT,),
        seven_bit_weights=target.seven_bit_weights, ActivationSymmetric=target.symmetric,
        OpTypesToExcludeOutputQuantization=[PRODUCT],
    )  # fmt: skip
    for restored in [node for node in made.graph if node.op_type == "DequantizeLinear"]:
        rounding = None if restored.inputs[0] is None else restored.inputs[0].producer()
        if rounding is None:
            continue
        for reader, index in [*restored.outputs[0].uses()]:
            if reader.name not in products:  # the sum around a product takes what was there before the rounding
                reader.replace_input_with(index, rounding.inputs[0])
    passes.RemoveUnusedNodesPass()(made)
    return made


def with_pairs(
    proto: onnx.ModelProto, ranges: TensorsData, *, activations: QuantType, excluded: Collection[str],
    kinds: Collection[str] = QUANTISED, seven_bit_weights: bool = False, **options: Any,
) -> ir.Model:  # fmt: skip
    """The graph with Q/DQ pairs around nodes of some kinds, all but the excluded; options: of ONNX Runtime's quantiser.

    Weights are signed and symmetric, a scale an output channel.
    """
    quantizer = QDQQuantizer(
        onnx.shape_inference.infer_shapes(proto),
        True,  # per channel
        seven_bit_weights,
        QuantType.QInt8,
        activations,
        ranges,
        [],
        sorted(excluded),
        list(kinds),
        {"WeightSymmetric": True, "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1}, **options},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    made: ir.Model = ir.from_proto(quantizer.model.model)
    return made


def in_8_bits(weight: NDArray[np.float32], *, keep: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights as whole numbers up to 127, and their scales: one for each place along the axis that is kept."""
    others = tuple(axis for axis in range(weight.ndim) if axis != keep)
    scale = np.maximum(np.abs(weight).max(axis=others, keepdims=True) / LARGEST, np.finfo(np.float32).tiny)
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)


def float_nodes(model: ir.Model, *, keep_float: Collection[str] = (), float_head: bool = True) -> set[str]:
    """Names of the nodes that stay float: up to the first convolution, gates and attention, the head, and those named.

    The front's inputs differ in scale by an order of magnitude. A gate reads means of a map, a thousandth of the work,
    and its softmax and sigmoids need their resolution. Of tokens all but the products with weights.
    """
    nodes = list(model.graph)
    names = [str(node.name) for node in nodes]
    for name in keep_float:
        check_known(name, names, "node")
    if of_tokens(model):
        products = {
            name for name, node in zip(names, nodes, strict=True)
            if node.op_type == PRODUCT and _is_initializer(node.inputs[1])
        }  # fmt: skip
        return {*names} - products | {*keep_float}
    kept = {*names[: first_map(nodes) + 1], *keep_float}
    kept |= {name for name, node in zip(names, nodes, strict=True) if not _maps_a_map(node)}
    if float_head:
        last = max(index for index, node in enumerate(nodes) if node.op_type == "Add" and _is_map(node.outputs[0]))
        kept |= set(names[last + 1 :])
    return kept


def _is_map(value: ir.Value | None) -> bool:
    """Whether a value has more than one frame and joint."""
    shape = None if value is None or value.is_graph_input() else value.shape
    return shape is not None and len(shape) == MAP_AXES and all(size != 1 for size in shape[2:])


def _maps_a_map(node: ir.Node) -> bool:
    """Whether a node takes a map to a map by constants alone, or adds two maps."""
    read = [value for value in node.inputs if value is None or not value.is_initializer()]
    if node.op_type == "MatMul" and (len(read) > 1 or read[:1] != list(node.inputs[:1])):
        return False
    return _is_map(node.outputs[0]) and all(_is_map(value) for value in read)


def _is_initializer(value: ir.Value | None) -> bool:
    return value is not None and value.is_initializer()


def _is_large_head(node: ir.Node) -> bool:
    """Whether a node is a layer of one token with many weights."""
    return node.op_type == "Gemm" and _is_initializer(node.inputs[1]) and array(node.inputs[1]).size >= LARGE_HEAD


def _reads_8_bits(context: Any, x: ir.Value, **_: Any) -> bool:
    maker = x.producer()
    return maker is not None and maker.op_type == "DequantizeLinear"


def _hardswish_in_8_bits(op: Any, x: ir.Value, y: ir.Value) -> ir.Value:
    """x * clip(x / 6 + 1/2, 0, 1) between Q/DQ pairs: the clip is what rounding into [0, 1] in 255 steps saturates at.

    x / 6 reads the 8-bit x with a sixth of its scale, so that one sum and one product of 8-bit tensors remain.
    """
    quantised, scale, zero = x.producer().inputs  # type: ignore[union-attr]
    kind = array(zero).dtype
    low = np.iinfo(kind).min
    given = {
        "sixth": array(scale) / np.float32(6.0),
        "half": np.array(low + 1, kind), "half_scale": np.array(0.5, np.float32),
        "low": np.array(low, kind), "step": np.array(1 / 255, np.float32),
    }  # fmt: skip
    values = {name: constant(op, f"{y.name}/{name}", value) for name, value in given.items()}
    gate = values["step"], values["low"]
    sixth = op.DequantizeLinear(quantised, values["sixth"], zero)
    half = op.DequantizeLinear(values["half"], values["half_scale"], values["low"])
    return op.Mul(x, op.DequantizeLinear(op.QuantizeLinear(op.Add(sixth, half), *gate), *gate))


def weights_in_8_bits(
    graph: ir.Graph, names: Collection[str], *, everywhere: bool = False, explicit: bool = False
) -> None:
    """Weights of these convolutions and products as 8-bit constants, a scale an output channel; they run in float.

    A runtime restores them once, when it loads the file, for a cast and a product of constants are folded then, which
    a DequantizeLinear is not; explicit: by that all the same, for TensorRT takes nothing else. The front's and a small
    head's stay as they are, unless it is to be `everywhere`. A constant that several nodes read is stored once.
    """
    nodes = list(graph)
    rounding = [index for index, node in enumerate(nodes) if node.op_type == "QuantizeLinear"]
    first, last = (0, len(nodes)) if everywhere else (rounding[0], rounding[-1])
    restored: dict[tuple[ir.Value, int], ir.Value] = {}
    for index, node in enumerate(nodes[first:], first):
        stored = node.inputs[1] if len(node.inputs) > 1 else None
        if node.name not in names or node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        if stored is None or not stored.is_initializer():
            continue
        weight = array(stored)
        if weight.dtype != np.float32 or weight.size < (FEWEST_WEIGHTS if index < last else LARGE_HEAD):
            continue
        out = 0 if node.op_type == "Conv" or node.attributes.get_int("transB") else weight.ndim - 1
        if (stored, out) not in restored:
            restored[stored, out] = _restored(graph, node, weight, f"{stored.name}/float/{out}", out, explicit=explicit)
        node.replace_input_with(1, restored[stored, out])
        if not stored.uses():
            del graph.initializers[str(stored.name)]


def _restored(
    graph: ir.Graph, reader: ir.Node, weight: NDArray[np.float32], name: str, out: int, *, explicit: bool
) -> ir.Value:
    """The weight made again, before its reader, of 8 bits and scales."""
    (whole, scale), tape = in_8_bits(weight, keep=out), ir.tape.Tape()
    stored = constant(tape, f"{name}/q", whole)
    by = constant(tape, f"{name}/scale", scale.ravel() if explicit else scale)
    if explicit:
        made = tape.op("DequantizeLinear", [stored, by], {"axis": out})
    else:
        made = tape.op("Mul", [tape.op("Cast", [stored], {"to": ir.DataType.FLOAT}), by])
    for value in tape.initializers:
        graph.register_initializer(value)
    graph.insert_before(reader, tape.nodes)
    return made


def compact(model: ir.Model) -> bytes:
    """A small file: equal constants once, short names, no shape notes; they are a quarter of a small INT8 file."""
    largest = max(value.size for value in map(array, model.graph.initializers.values()))
    passes.DeduplicateInitializersPass(size_limit=largest)(model)
    graph = model.graph
    values = [*graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    values = sorted((value for value in values if value not in graph.outputs), key=lambda value: -len(value.uses()))
    ir.convenience.rename_values(values, [f"v{index}" for index in range(len(values))])
    return bytes(serialised(model).SerializeToString(deterministic=True))
