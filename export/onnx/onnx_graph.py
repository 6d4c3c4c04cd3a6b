"""From a deployed model to one ONNX file: declared names and axes, dynamic batch, same bytes for same weights."""

from __future__ import annotations

import json
from collections import OrderedDict

import onnx
import onnxslim
import torch
from torch import nn

from last_edge.errors import UsageError
from last_edge.export.onnx.export_spec import (
    BATCH_AXIS,
    IR_VERSION,
    LAST,
    TIME_AXIS,
    ExportSpec,
    check_graph_signature,
    export_spec,
)
from last_edge.export.onnx.quiet import quiet_export
from last_edge.inputs.features import FeatureInput
from last_edge.inputs.spec import InputSpec
from last_edge.models.front import Resample
from last_edge.models.landmark_model import LandmarkModel

OPSET = LAST.opset
PRODUCER = "last-edge"
# Frames of the example behind a dynamic time axis: any number but 1 and the window's own.
EXAMPLE_FRAMES = 37


def to_onnx(
    edge: LandmarkModel, *, spec: InputSpec, labels: tuple[str, ...], name: str,
    dynamic_time: bool = False, features: FeatureInput | None = None,
) -> bytes:  # fmt: skip
    """ONNX bytes of a deployed model; the same weights give the same bytes.

    dynamic_time: the graph takes clips of any length and resamples them itself. features: its second input, where it
    has one. The metadata carries `model`, `input_sha256` (of the `InputSpec`), `labels` (a JSON list) and `time`,
    `fixed` or `dynamic`, so that a graph that has lost its manifest still says what it takes and gives. `GateError`
    when the file is not as its `ExportSpec` declares.
    """
    if dynamic_time and features is not None:
        raise UsageError("a graph with a second input takes windows alone", hint="without --dynamic-time")
    declared = export_spec(name)
    module = nn.Sequential(OrderedDict(resample=Resample(spec), edge=edge)) if dynamic_time else edge
    proto = _trace(module, spec, declared, dynamic_time=dynamic_time, features=features)
    metadata = {**_metadata(spec, labels, name), "time": "dynamic" if dynamic_time else "fixed"}
    proto = tidy(onnxslim.slim(proto), metadata=metadata)
    check_graph_signature(proto, declared, spec=spec, classes=len(labels), dynamic_time=dynamic_time, features=features)
    return bytes(proto.SerializeToString(deterministic=True))


def plain_onnx(model: LandmarkModel, *, labels: tuple[str, ...], name: str) -> bytes:
    """The model exported as it was trained: what the edge form is compared with, never what is shipped."""
    proto = _trace(model.cpu().eval(), model.spec, export_spec(name), dynamic_time=False, features=model.features)
    tidied = tidy(proto, metadata={**_metadata(model.spec, labels, name), "form": "plain"})
    return bytes(tidied.SerializeToString(deterministic=True))


def _metadata(spec: InputSpec, labels: tuple[str, ...], name: str) -> dict[str, str]:
    return {"model": name, "input_sha256": spec.sha256, "labels": json.dumps(labels, ensure_ascii=False)}


def _trace(
    module: nn.Module,
    spec: InputSpec,
    declared: ExportSpec,
    *,
    dynamic_time: bool,
    features: FeatureInput | None = None,
) -> onnx.ModelProto:
    *bodies, frames, joints, channels = spec.shape
    example: tuple[torch.Tensor, ...] = (
        torch.zeros(2, *bodies, EXAMPLE_FRAMES if dynamic_time else frames, joints, channels),
    )
    batch = torch.export.Dim(BATCH_AXIS)
    dynamic, names, axes = {0: batch}, [declared.input_name], []
    if features is not None:
        example, names, axes = (*example, torch.zeros(2, *features.shape)), [*names, features.name], [{0: batch}]
    if dynamic_time:
        dynamic[1 + len(bodies)] = torch.export.Dim(TIME_AXIS)
    with torch.inference_mode(), quiet_export():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            opset_version=declared.opset,
            input_names=names,
            output_names=[declared.output_name],
            dynamic_shapes=(dynamic, *axes),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def tidy(proto: onnx.ModelProto, *, metadata: dict[str, str]) -> onnx.ModelProto:
    """Drop what differs between machines (doc strings, traces, tool versions) and number the nodes by kind."""
    graph = proto.graph
    del proto.metadata_props[:], graph.value_info[:], proto.functions[:], graph.metadata_props[:]
    proto.ir_version, proto.producer_name, proto.producer_version = IR_VERSION, PRODUCER, ""
    proto.doc_string, graph.doc_string, graph.name = "", "", metadata["model"]
    for index, node in enumerate(graph.node):
        node.ClearField("doc_string")
        del node.metadata_props[:]
        node.name = f"{node.op_type}_{index}"
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.ClearField("doc_string")
        del value.metadata_props[:]
    onnx.helper.set_model_props(proto, dict(sorted(metadata.items())))
    onnx.checker.check_model(proto, full_check=True)
    return proto
