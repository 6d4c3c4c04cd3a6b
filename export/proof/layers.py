"""Where two forms of one graph part: every value between the nodes, compared in the order of the nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from last_edge.errors import GateError, InputError, UsageError
from last_edge.export.onnx.session import open_session
from last_edge.export.proof.node_pairs import is_quantiser, pair_nodes
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
        return Side(text, _read(Path(graph)), backend)
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
    ours = tapped(one, [node.output[0] for node, _ in pairs], first.backend, inputs)
    theirs = tapped(other, [value for _, value in pairs], second.backend, inputs)
    gaps = [
        gap(node.name, node.op_type, node.output[0], ours[node.output[0]], theirs[value], most)
        for node, value in pairs
        if node.output[0] in ours and value in theirs
    ]
    mine, its = (BACKENDS[side.backend](side.graph).run(inputs).astype(np.float64) for side in (first, second))
    gaps.append(gap(WHOLE, "", OUTPUT_NAME, mine, its, most))
    return Comparison(first.named, second.named, tuple(gaps), tuple(node.name for node in unpaired))


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


def made_points(graph: onnx.ModelProto, *, clips: int = 4) -> NDArray[np.float32]:
    """Random points for a graph that came without a bundle; the second clip has missing ones."""
    random = np.random.default_rng(0)
    points = random.normal(size=(clips, *door_shape(graph)[1:])).astype(np.float32)
    points[1][random.random(points.shape[1:-1]) < 0.15] = np.nan
    return points


def _quantised(graph: onnx.ModelProto) -> bool:
    return any(map(is_quantiser, graph.graph.node))


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise InputError("no such file", where=path)
    return path.read_bytes()


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


def door_shape(proto: onnx.ModelProto) -> tuple[int, ...]:
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
