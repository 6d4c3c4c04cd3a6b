"""From the edge form to one ONNX file: opset 20, dynamic batch, `landmarks` in, `logits` out, the same bytes."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import onnxslim
import torch

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from last_edge.export.edge_modules import EdgeModel
from last_edge.inputs.spec import InputSpec

OPSET = 20
IR_VERSION = 10
PRODUCER = "last-edge"


def to_onnx(edge: EdgeModel, *, spec: InputSpec, labels: tuple[str, ...], name: str) -> bytes:
    """ONNX bytes of an edge model; the same weights give the same bytes.

    The metadata carries `model`, `input_sha256` (of the `InputSpec`) and `labels` (a JSON list), so that a graph that
    has lost its manifest still says what it takes and gives.
    """
    proto = onnxslim.slim(_trace(edge, spec))
    metadata = {"model": name, "input_sha256": spec.sha256, "labels": json.dumps(labels, ensure_ascii=False)}
    return bytes(tidy(proto, metadata=metadata).SerializeToString(deterministic=True))


def _trace(edge: EdgeModel, spec: InputSpec) -> onnx.ModelProto:
    example = torch.zeros(2, *spec.shape)
    with torch.inference_mode(), _quiet():
        program = torch.onnx.export(
            edge,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes={"landmarks": {0: torch.export.Dim("batch")}},
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


def metadata_of(graph: bytes) -> dict[str, str]:
    """The metadata of an ONNX file's bytes."""
    return {prop.key: prop.value for prop in onnx.load_from_string(graph).metadata_props}


@contextmanager
def _quiet() -> Iterator[None]:
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
