"""Where two forms of one graph part: every value between the nodes, compared in the order of the nodes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from last_edge.errors import GateError, InputError, UsageError
from last_edge.export.onnx.session import open_session
from last_edge.export.proof.same import difference
from last_edge.inputs.features import LANDMARKS, Inputs
from last_edge.names import did_you_mean
from last_edge.runtime.backends import BACKENDS, OnnxRuntimeCpu

Value = NDArray[np.float64]
Runner = Callable[[bytes, Sequence[str], Inputs], list[NDArray[np.float32]]]
# Root mean square of the difference over that of the value which counts as the same: rounding of one kind of
# arithmetic, and of 8 bits.
FLOAT, EIGHT_BITS = 1e-3, 0.25
WHOLE = "whole graph"
QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
# What a quantiser of unsigned or bounded range does by itself.
ABSORBED = ("Relu", "Clip")
NUMBERS = (onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL, onnx.TensorProto.INT64)


@dataclass(frozen=True)
class Side:
    """One form: a graph, where it is from, and the backend that runs it."""

    named: str
    graph: bytes
    backend: str


@dataclass(frozen=True)
class NodeGap:
    """One node on both sides. output: its name on the first. max_abs: largest |difference|. relative: root mean square
    of the difference over that of the value. parts: that is more than allowed, or the shapes differ."""

    node: str
    kind: str
    output: str
    shape: tuple[int, ...]
    max_abs: float
    relative: float
    parts: bool


@dataclass(frozen=True)
class Comparison:
    """gaps: nodes in order; the last row is the logits of both graphs run whole. unpaired: nodes of the first that have
    no counterpart."""

    first: str
    second: str
    gaps: tuple[NodeGap, ...]
    unpaired: tuple[str, ...]

    @property
    def culprit(self) -> NodeGap | None:
        """The first node where the two part."""
        return next((gap for gap in self.gaps if gap.parts), None)


def read_sides(texts: tuple[str, str], bundle: Bundle | None) -> tuple[Side, Side]:
    """Two of `FILE.onnx`, a precision, a backend, or one of the first two `@` a backend.

    A backend alone runs what the other side does, FP32 when that is a backend too; a graph alone runs in ONNX Runtime.
    """
    graphs = [None if text in BACKENDS else text.partition("@")[0] for text in texts]
    usual = next((graph for graph in graphs if graph), "fp32")
    first, second = (_read_side(text, graph or usual, bundle) for text, graph in zip(texts, graphs, strict=True))
    return first, second


def _read_side(text: str, graph: str, bundle: Bundle | None) -> Side:
    backend = text if text in BACKENDS else text.partition("@")[2] or OnnxRuntimeCpu.name
    if backend not in RUNNERS:
        raise UsageError(f"cannot look between the nodes of {backend!r}", expected=did_you_mean(backend, RUNNERS))
    BACKENDS[backend].require()
    if graph.endswith(".onnx"):
        if not Path(graph).is_file():
            raise InputError("no such file", where=graph)
        return Side(text, Path(graph).read_bytes(), backend)
    if bundle is None:
        raise UsageError(f"{text!r} is of a bundle, and none is named", hint="last-edge parity BUNDLE --layers A B")
    return Side(text, bundle.graph(graph), backend)


def compare_layers(first: Side, second: Side, inputs: Inputs | None = None, *, most: float | None = None) -> Comparison:
    """Run both sides on the same clips and compare node by node.

    inputs: made ones when None. most: relative difference that is allowed: 0.001, and 0.25 where a side has 8 bits.
    Quantisers are looked through: a node is compared with the node it was made of.
    """
    one, other = onnx.load_from_string(first.graph), onnx.load_from_string(second.graph)
    if _quantised(one) and not _quantised(other):  # what quantisers absorb can only be looked for in the second
        first, second, one, other = second, first, other, one
    if inputs is None:
        inputs = {LANDMARKS: made_points(one)}
    if most is None:
        most = EIGHT_BITS if _quantised(one) or _quantised(other) else FLOAT
    pairs, unpaired = pair_nodes(one, other)
    named = [(node, str(node.outputs[0].name), str(value.name)) for node, value in pairs]
    ours = tapped(one, [name for _, name, _ in named], first.backend, inputs)
    theirs = tapped(other, [name for *_, name in named], second.backend, inputs)
    gaps = [
        gap(str(node.name), node.op_type, name, ours[name], theirs[its], most)
        for node, name, its in named
        if name in ours and its in theirs
    ]
    mine, its = (BACKENDS[side.backend](side.graph).run(inputs).astype(np.float64) for side in (first, second))
    gaps.append(gap(WHOLE, "", OUTPUT_NAME, mine, its, most))
    return Comparison(first.named, second.named, tuple(gaps), tuple(str(node.name) for node in unpaired))


def gap(node: str, kind: str, output: str, one: Value, other: Value, most: float) -> NodeGap:
    """How far two values of one node are apart; NaN is equal to NaN."""
    if one.shape != other.shape:
        return NodeGap(node, kind, output, one.shape, float("inf"), float("inf"), True)
    apart, relative = difference(one, other)
    return NodeGap(node, kind, output, one.shape, float(apart.max(initial=0.0)), relative, relative > most)


def require_equal(found: Comparison) -> None:
    """`GateError` that names the first node where the two part."""
    culprit = found.culprit
    if culprit is None:
        return
    if culprit.node == WHOLE:
        what = "the nodes agree one by one, the whole graphs do not: the backends fuse or round across nodes"
        raise GateError(what, where=f"{found.first} and {found.second}", got=f"max |Δ| {culprit.max_abs:.3g}")
    raise GateError(
        f"{found.first} and {found.second} part at {culprit.node}",
        where=f"{culprit.kind} → {culprit.output} {culprit.shape}",
        got=f"max |Δ| {culprit.max_abs:.3g}, root mean square {culprit.relative:.2%} of the value's",
    )


def made_points(graph: onnx.ModelProto) -> NDArray[np.float32]:
    """Random points for a graph that came without a bundle; the second clip has missing ones."""
    random = np.random.default_rng(0)
    points = random.normal(size=(4, *landmarks_shape(graph)[1:])).astype(np.float32)
    points[1][random.random(points.shape[1:-1]) < 0.15] = np.nan
    return points


def _quantised(graph: onnx.ModelProto) -> bool:
    return any(node.op_type in QUANTISERS for node in graph.graph.node)


def pair_nodes(first: onnx.ModelProto, second: onnx.ModelProto) -> tuple[list[tuple[ir.Node, ir.Value]], list[ir.Node]]:
    """Nodes of the first graph, in its order, with the value of the second that answers to theirs; those without one.

    A counterpart is of the same kind and reads the counterparts of what the node reads, quantisers looked through. Of
    several, as of the products with each subset of a graph, it is the one whose constants are nearest. An activation
    that the second has not got may be in the range of a quantiser: its value is then what that quantiser lets through.
    """
    one, other = (ir.from_proto(proto) for proto in (first, second))
    for model in (one, other):
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    inputs = {value.name: value for value in other.graph.inputs}
    known: dict[ir.Value, ir.Value | None] = {value: inputs.get(value.name) for value in one.graph.inputs}
    free = [node for node in other.graph if node.op_type not in QUANTISERS]
    pairs: list[tuple[ir.Node, ir.Value]] = []
    unpaired: list[ir.Node] = []
    for node in one.graph:
        if node.op_type in QUANTISERS:
            continue
        reads = [known.get(value) for value in _computed(node)]
        fits = [its for its in free if its.op_type == node.op_type and _computed(its) == reads]
        if None not in reads and fits:
            found = min(fits, key=lambda its: (_attributes(its) != _attributes(node), _constants_apart(node, its)))
            free.remove(found)
            pairs.append((node, found.outputs[0]))
            known.update(zip(node.outputs, found.outputs, strict=False))
        elif node.op_type in ABSORBED and reads[0] and (absorbed := _restored(reads[0])):
            pairs.append((node, absorbed))
            known[node.outputs[0]] = reads[0]
        else:
            unpaired.append(node)
    return pairs, unpaired


def _origin(value: ir.Value) -> ir.Value:
    """The value that quantisers made this one of."""
    while (maker := value.producer()) is not None and maker.op_type in QUANTISERS and maker.inputs[0] is not None:
        value = maker.inputs[0]
    return value


def _restored(value: ir.Value) -> ir.Value | None:
    """A value after its quantisers; None where it has none."""
    for _ in QUANTISERS:
        readers = [reader for reader in value.consumers() if reader.op_type in QUANTISERS]
        if not readers:
            return None
        value = readers[0].outputs[0]
    return value


def _computed(node: ir.Node) -> list[ir.Value]:
    """What a node reads that is no constant, in order, as it was before any quantiser."""
    origins = [_origin(value) for value in node.inputs if value is not None]
    return [value for value in origins if value.const_value is None]


def _constants_apart(node: ir.Node, its: ir.Node) -> float:
    """Sum of mean |difference| of the constants that two nodes see; infinite where their shapes differ."""
    ours, theirs = ([_seen(v) for v in one.inputs if v and _origin(v).const_value is not None] for one in (node, its))
    if [constant.shape for constant in ours] != [constant.shape for constant in theirs]:
        return float("inf")
    return sum(float(np.abs(a - b).mean()) for a, b in zip(ours, theirs, strict=True) if a.size)


def _seen(value: ir.Value) -> Value:
    """A constant as the number that its reader sees."""
    maker = value.producer()
    if maker is None or maker.op_type not in QUANTISERS:
        assert value.const_value is not None
        return np.asarray(value.const_value.numpy(), np.float64)
    stored, scale, *zero = (_seen(each) for each in maker.inputs if each is not None)
    if maker.op_type == "QuantizeLinear":
        return stored
    spread = [1] * stored.ndim
    if scale.size > 1:
        spread[maker.attributes.get_int("axis", 1)] = -1
    return (stored - (zero[0].reshape(spread) if zero else 0.0)) * scale.reshape(spread)


def _attributes(node: ir.Node) -> list[bytes]:
    attributes = ir.to_proto(node).attribute
    return sorted(attribute.SerializeToString(deterministic=True) for attribute in attributes)


def tapped(proto: onnx.ModelProto, names: Sequence[str], backend: str, inputs: Inputs) -> dict[str, Value]:
    """Values by name for some clips, as the backend computes them; those of no known type are left out.

    Making a value an output keeps a backend from fusing across it: what is seen is each node's own arithmetic.
    """
    inferred = onnx.shape_inference.infer_shapes(proto)
    known = {value.name: value for value in (*inferred.graph.value_info, *inferred.graph.output)}
    numbers = {name for name, value in known.items() if value.type.tensor_type.elem_type in NUMBERS}
    wanted = [name for name in dict.fromkeys(names) if name in numbers]
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    del model.graph.output[:]
    model.graph.output.extend(known[name] for name in wanted)
    outputs = RUNNERS[backend](model.SerializeToString(), wanted, inputs)
    return {name: np.asarray(value, np.float64) for name, value in zip(wanted, outputs, strict=True)}


def landmarks_shape(proto: onnx.ModelProto) -> tuple[int, ...]:
    """Shape of `landmarks`, 0 for a free axis; `InputError` when the graph has no such input."""
    for value in proto.graph.input:
        if value.name == INPUT_NAME:
            return tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
    raise InputError(f"the graph has no input {INPUT_NAME!r}", got=[value.name for value in proto.graph.input])


def _in_onnxruntime(graph: bytes, names: Sequence[str], inputs: Inputs) -> list[NDArray[np.float32]]:
    return list(open_session(graph).run(list(names), dict(inputs)))


def _in_openvino(graph: bytes, names: Sequence[str], inputs: Inputs) -> list[NDArray[np.float32]]:
    from last_edge.runtime.backends.openvino_cpu import compile_model

    answer = compile_model(graph, threads=1, where="model in memory")(dict(inputs))
    return [np.array(answer[name]) for name in names]


RUNNERS: dict[str, Runner] = {"onnxruntime-cpu": _in_onnxruntime, "openvino": _in_openvino}
