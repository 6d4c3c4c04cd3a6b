"""What TensorRT asks of an ONNX graph: operator rules that need no TensorRT, and its own parser where it is installed.

Sources: ONNX-TensorRT's operator list and NVIDIA's opset guide for TensorRT 11; the rules on quantisers were each
seen to stop a build of TensorRT for RTX 1.7.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from last_edge.errors import GateError
from last_edge.runtime.backends.base import has_module

OPSETS = range(9, 26)
DOMAINS = ("", "ai.onnx")
INT8_OPERATORS = ("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul")
UNSUPPORTED = ("BitShift", "Compress", "Det", "Multinomial", "Optional", "SequenceConstruct", "StringConcat", "Unique")
PARSERS = ("tensorrt", "tensorrt_rtx")
TYPE = onnx.TensorProto.DataType


@dataclass(frozen=True)
class Violation:
    """node: by its name, empty for the whole graph. rule: what is asked. got: what was found."""

    node: str
    rule: str
    got: str


@dataclass(frozen=True)
class Graph:
    """A model with its constants and who makes and reads each value."""

    proto: onnx.ModelProto
    constants: dict[str, onnx.TensorProto]
    makers: dict[str, onnx.NodeProto]
    readers: dict[str, list[onnx.NodeProto]]

    @classmethod
    def of(cls, content: bytes) -> Graph:
        """Read a graph from its bytes."""
        proto = onnx.load_from_string(content)
        readers: dict[str, list[onnx.NodeProto]] = {}
        for node in proto.graph.node:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        makers = {name: node for node in proto.graph.node for name in node.output}
        return cls(proto, {constant.name: constant for constant in proto.graph.initializer}, makers, readers)


def violations(content: bytes) -> list[Violation]:
    """Every rule that a graph breaks; none when TensorRT should take it."""
    graph = Graph.of(content)
    nodes = graph.proto.graph.node
    return [*_opsets(graph), *(found for node in nodes for rule in RULES for found in rule(graph, node))]


def parser_faults(content: bytes) -> list[Violation] | None:
    """What TensorRT's own parser says of a graph; None where no flavour of TensorRT is installed."""
    module = next((name for name in PARSERS if has_module(name)), None)
    if module is None:
        return None
    trt = importlib.import_module(module)
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    _, parser = parsed(trt, logger, content, builder=trt.Builder(logger))
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    rule = f"the parser of {module} {trt.__version__} takes it"
    return [Violation(error.node_name(), rule, error.desc().split("\n")[0]) for error in errors]


def parsed(trt: Any, logger: Any, content: bytes, *, builder: Any) -> tuple[Any, Any]:
    """(network, parser) of a graph in a strongly typed network; the parser holds the errors."""
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    parser.parse(content)
    return network, parser


def require_fit(content: bytes, *, where: object) -> str:
    """`GateError` naming everything that keeps TensorRT from a graph; else what was checked, in words."""
    broken, said = violations(content), parser_faults(content)
    found = [f"{fault.node or 'graph'}: {fault.rule} (got {fault.got})" for fault in [*broken, *(said or [])]]
    if found:
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        raise GateError("TensorRT would not take this graph", where=where, got="; ".join(found[:5]) + more,
                        hint="last-edge quantize BUNDLE --store STORE --target tensorrt")  # fmt: skip
    return "operator rules" if said is None else "operator rules and TensorRT's parser"


def _opsets(graph: Graph) -> Iterator[Violation]:
    for entry in graph.proto.opset_import:
        if entry.domain in DOMAINS and entry.version not in OPSETS:
            yield Violation("", f"opset {OPSETS.start} to {OPSETS.stop - 1}", str(entry.version))


def _operator(graph: Graph, node: onnx.NodeProto) -> Iterator[Violation]:
    if node.domain not in DOMAINS:
        yield Violation(node.name, "operators of ONNX alone", f"{node.domain}.{node.op_type}")
    elif node.op_type in INT8_OPERATORS:
        yield Violation(node.name, "8 bits as explicit Q/DQ pairs, no integer operators", node.op_type)
    elif node.op_type in UNSUPPORTED:
        yield Violation(node.name, "an operator that TensorRT has", node.op_type)


def _einsum(graph: Graph, node: onnx.NodeProto) -> Iterator[Violation]:
    """No ellipsis and no letter twice in one term."""
    if node.op_type != "Einsum":
        return
    equation = next(attribute.s.decode() for attribute in node.attribute if attribute.name == "equation")
    terms = equation.replace(" ", "").replace("->", ",").split(",")
    if "..." in equation or any(len(set(term)) < len(term) for term in terms):
        yield Violation(node.name, "Einsum without ellipsis or diagonal", equation)


def _quantiser(graph: Graph, node: onnx.NodeProto) -> Iterator[Violation]:
    """s8 with zero points of 0 and constant positive scales; one scale a channel for constants alone."""
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return
    stored = graph.constants.get(node.input[0])
    if node.op_type == "DequantizeLinear" and stored is not None and stored.data_type != TYPE.INT8:
        what = "a float bias" if stored.data_type == TYPE.INT32 else "s8 constants"
        yield Violation(node.name, what, TYPE.Name(stored.data_type))
    scale = graph.constants.get(node.input[1])
    if scale is None or not (numpy_helper.to_array(scale) > 0).all():
        yield Violation(node.name, "constant positive scales", node.input[1])
    elif numpy_helper.to_array(scale).size > 1 and _of_activation(graph, node):
        yield Violation(node.name, "one scale for an activation", f"{numpy_helper.to_array(scale).size} scales")
    yield from _zero_point(graph, node)


def _zero_point(graph: Graph, node: onnx.NodeProto) -> Iterator[Violation]:
    if len(node.input) < 3 or not node.input[2]:
        if node.op_type == "QuantizeLinear":
            yield Violation(node.name, "s8 activations", "UINT8, the type without a zero point")
        return
    zero = graph.constants.get(node.input[2])
    if zero is None or np.any(numpy_helper.to_array(zero) != 0):
        yield Violation(node.name, "zero points of 0", node.input[2])
    elif zero.data_type not in (TYPE.INT8, TYPE.INT32):
        yield Violation(node.name, "s8 activations", TYPE.Name(zero.data_type))


def _of_activation(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether what a quantiser reads is computed, not stored."""
    maker = graph.makers.get(node.input[0])
    if maker is not None and maker.op_type == "QuantizeLinear":
        return _of_activation(graph, maker)
    return node.input[0] not in graph.constants


def _pair(graph: Graph, node: onnx.NodeProto) -> Iterator[Violation]:
    """What a quantiser stores is read by its counterpart alone."""
    if node.op_type == "QuantizeLinear":
        kinds = {reader.op_type for reader in graph.readers.get(node.output[0], [])} - {"DequantizeLinear"}
        if kinds:
            yield Violation(node.name, "Q followed by DQ alone", ", ".join(sorted(kinds)))


def _stored(graph: Graph, node: onnx.NodeProto) -> Iterator[Violation]:
    """What is stored in 8 bits is read by a DequantizeLinear."""
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return
    for name in node.input:
        if name in graph.constants and graph.constants[name].data_type == TYPE.INT8:
            yield Violation(node.name, "s8 constants read by DequantizeLinear alone", node.op_type)


Rule = Callable[[Graph, onnx.NodeProto], Iterator[Violation]]
RULES: tuple[Rule, ...] = (_operator, _einsum, _quantiser, _pair, _stored)
