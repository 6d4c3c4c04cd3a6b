"""From a model to one ONNX file of declared names, axes and operators; the same weights give the same bytes."""

import inspect
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import onnx_ir as ir
import onnxslim
import torch
from onnx import helper, numpy_helper
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from last_edge.errors import GateError, UsageError
from last_edge.inputs.features import FeatureInput
from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import LandmarkModel
from last_edge.tasks.recognition import BATCH_AXIS, TIME_AXIS
from last_edge.tasks.registry import RECOGNITION
from last_edge.tasks.task import Graph

OPSET = 20
IR_VERSION = 10
PRODUCER = "last-edge"
Axes = dict[str, list[str | int]]
"""Sizes of inputs or outputs by name, in order; a name stands for one that may change."""
# Operators that a deployed form has folded away, or that compute shapes at run time.
FORBIDDEN = ("Einsum", "BatchNormalization", "Shape", "Expand", "Dropout", "If", "Loop", "Scan")
OLDEST = 17
AXES_AS_ATTRIBUTE_BEFORE = 18
REDUCTIONS = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare")
IR_VERSIONS = {17: 8, 18: 8, 19: 9}
"""The file format's version that came with each set: a runtime of its time opens no newer one."""


def to_onnx(edge: LandmarkModel, *, labels: tuple[str, ...], name: str, dynamic_time: bool = False) -> bytes:
    """ONNX bytes of a deployed recogniser; the same weights give the same bytes.

    dynamic_time: the graph takes clips of any length and resamples them itself. The metadata carries `model`,
    `input_sha256` (of the `InputSpec`), `labels` (a JSON list) and `time`, `fixed` or `dynamic`, so that a graph that
    has lost its manifest still says what it takes and gives. `GateError` when the file is not as declared (see
    `check_graph_signature`).
    """
    spec, features = edge.spec, edge.features
    if dynamic_time and features is not None:
        raise UsageError("a graph with a second input takes windows alone", hint="without --dynamic-time")
    (graph,) = RECOGNITION.graphs(edge, name=name, dynamic_time=dynamic_time)
    metadata = {**graph_metadata(spec, labels, name), "time": "dynamic" if dynamic_time else "fixed"}
    proto = serialised(slimmed(graph), metadata=metadata)
    check_graph_signature(proto, spec=spec, classes=len(labels), dynamic_time=dynamic_time, features=features)
    return bytes(proto.SerializeToString(deterministic=True))


def plain_onnx(model: LandmarkModel, *, labels: tuple[str, ...], name: str) -> bytes:
    """The model exported as it was trained: what the deployed form is compared with, never what is shipped."""
    (graph,) = RECOGNITION.graphs(model.cpu().eval(), name=name)
    return to_bytes(graph, metadata={**graph_metadata(model.spec, labels, name), "form": "plain"})


def to_bytes(graph: Graph, *, metadata: dict[str, str]) -> bytes:
    """ONNX bytes of a declared graph, as the exporter writes it; metadata: beside the graph's name."""
    proto = serialised(traced(graph), metadata={"model": graph.name, **metadata})
    return bytes(proto.SerializeToString(deterministic=True))


def metadata_of(graph: bytes) -> dict[str, str]:
    """The metadata in an ONNX file's bytes."""
    return {entry.key: entry.value for entry in onnx.load_from_string(graph).metadata_props}


def graph_metadata(spec: InputSpec, labels: tuple[str, ...], name: str) -> dict[str, str]:
    """What a graph of classes says of itself, by key."""
    return {"model": name, "input_sha256": spec.sha256, "labels": json.dumps(labels, ensure_ascii=False)}


def slimmed(graph: Graph) -> ir.Model:
    """`traced` without what onnxslim finds needless."""
    model: ir.Model = ir.from_proto(onnxslim.slim(ir.to_proto(traced(graph))))
    return model


def traced(graph: Graph) -> ir.Model:
    """The graph as the exporter writes it."""
    named = {name for axes in graph.free.values() for name in axes.values() if name}
    sizes: dict[str, Any] = {"": torch.export.Dim.DYNAMIC, **{name: torch.export.Dim(name) for name in named}}
    axes: tuple[Any, ...] = tuple(
        {axis: sizes[name] for axis, name in graph.free[given].items()} for given in graph.inputs
    )
    *named_ones, last = inspect.signature(graph.module.forward).parameters.values()
    if last.kind is inspect.Parameter.VAR_POSITIONAL:
        axes = (*axes[: len(named_ones)], axes[len(named_ones) :])
    with torch.inference_mode(), quiet_export():
        program = torch.onnx.export(
            graph.module, tuple(graph.inputs.values()), dynamo=True, opset_version=OPSET,
            input_names=list(graph.inputs), output_names=list(graph.outputs), dynamic_shapes=axes, external_data=False,
            verbose=False,
        )  # fmt: skip
    assert program is not None
    return program.model


@contextmanager
def quiet_export() -> Iterator[None]:
    """Keep the exporter's notes about packages that are not needed here from the user's screen."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def serialised(model: ir.Model, *, metadata: dict[str, str] | None = None) -> onnx.ModelProto:
    """A graph as it is written: without what differs between machines (doc strings, traces, shapes of values, tool
    versions), nodes numbered by kind. metadata: in place of the model's own, `model` the graph's name among it.
    """
    ClearMetadataAndDocStringPass()(model)
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.producer_name, model.producer_version = PRODUCER, ""
    for index, node in enumerate(model.graph):
        node.name = f"{node.op_type}_{index}"
    if metadata is not None:
        model.ir_version, model.graph.name = IR_VERSION, metadata["model"]
        model.metadata_props.clear()
        model.metadata_props.update(sorted(metadata.items()))
    proto: onnx.ModelProto = ir.to_proto(model)
    del proto.graph.value_info[:], proto.functions[:]
    onnx.checker.check_model(proto, full_check=True)
    return proto


def check_graph_signature(
    proto: onnx.ModelProto, *, spec: InputSpec, classes: int, dynamic_time: bool = False,
    features: FeatureInput | None = None, forbidden: tuple[str, ...] = FORBIDDEN,
) -> None:  # fmt: skip
    """`GateError` naming the first of names, axes, operator sets and operators that is not as declared.

    Axes are batch, [bodies,] time, joints, axes of a point; a name stands for one that may change. features: the second
    input of a model that has one. forbidden: operators that a window's graph must not have; resampling by length needs
    the length's shape.
    """
    *bodies, frames, joints, channels = spec.shape
    inputs: Axes = {INPUT_NAME: [BATCH_AXIS, *bodies, TIME_AXIS if dynamic_time else frames, joints, channels]}
    if features is not None:
        inputs[features.name] = [BATCH_AXIS, *features.shape]
    outputs: Axes = {OUTPUT_NAME: [BATCH_AXIS, classes]}
    check_declared(proto, inputs=inputs, outputs=outputs, forbidden=() if dynamic_time else forbidden)


def check_declared(
    proto: onnx.ModelProto, *, inputs: Axes, outputs: Axes, forbidden: tuple[str, ...] = FORBIDDEN
) -> None:
    """`GateError` naming the first of names, axes, operator sets and operators that is not as declared."""
    for side, values, axes in (("input", proto.graph.input, inputs), ("output", proto.graph.output, outputs)):
        _same(f"names of the graph's {side}s", list(axes), [value.name for value in values])
        _same(f"axes of the graph's {side}", list(axes.values()), [axes_of(value) for value in values])
    _same("operator sets", [("", OPSET)], [(entry.domain, entry.version) for entry in proto.opset_import])
    _same("forbidden operators", [], sorted(set(forbidden) & {node.op_type for node in proto.graph.node}))


def axes_of(value: onnx.ValueInfoProto) -> list[str | int]:
    """Sizes of a graph's input or output, names where they may change."""
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _same(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise GateError(f"the exported graph differs from its declaration: {what}", expected=expected, got=got)


def check_opset(opset: int) -> None:
    """`UsageError` for a set that is not written."""
    if not OLDEST <= opset <= OPSET:
        raise UsageError("this operator set is not written", expected=f"{OLDEST} to {OPSET}", got=opset)


def with_opset(graph: bytes, opset: int) -> bytes:
    """A graph of ours in the operator set `opset`; the same bytes for the one it has.

    Of what our graphs use, sets 17 to 20 differ in this alone: ReduceMean, ReduceMax and their like take their axes as
    an attribute before 18. What else a graph holds is held to the older set by ONNX's own checker.

    Raises `UsageError` as `check_opset`, `GateError` where an operator has no such form.
    """
    check_opset(opset)
    if opset == OPSET:
        return graph
    proto = onnx.load_from_string(graph)
    if opset < AXES_AS_ATTRIBUTE_BEFORE:
        _axes_as_attributes(proto.graph)
    proto.opset_import[0].version, proto.ir_version = opset, IR_VERSIONS[opset]
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        got = str(error).splitlines()[0]
        raise GateError(f"the graph has no form in operator set {opset}", got=got, hint=f"--opset {OPSET}") from error
    return bytes(proto.SerializeToString(deterministic=True))


def _axes_as_attributes(graph: onnx.GraphProto) -> None:
    constants = {value.name: value for value in graph.initializer}
    for node in graph.node:
        if node.op_type not in REDUCTIONS:
            continue
        axes = list(node.input)[1:]
        kept = [each for each in node.attribute if each.name != "noop_with_empty_axes"]
        del node.attribute[:], node.input[1:]
        node.attribute.extend(kept)
        if axes:
            node.attribute.append(helper.make_attribute("axes", numpy_helper.to_array(constants[axes[0]]).tolist()))
    used = {name for node in graph.node for name in node.input}
    left = [value for value in graph.initializer if value.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)
