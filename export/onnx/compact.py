"""A small file: equal constants once, short names, no shape notes; they are a quarter of a small INT8 file."""

from __future__ import annotations

import onnx

from last_edge.export.onnx.onnx_graph import PRODUCER


def compact(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph under short names."""
    graph = proto.graph
    names = _shared_constants(graph)
    fixed = {value.name for value in (*graph.input, *graph.output)}

    def rename(name: str) -> str:
        return name if not name or name in fixed else names.setdefault(name, f"v{len(names)}")

    for index, node in enumerate(graph.node):
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
        node.ClearField("doc_string")
        node.name = f"{node.op_type}_{index}"
    for constant in graph.initializer:
        constant.name = rename(constant.name)
    del graph.value_info[:]
    proto.producer_name, proto.producer_version = PRODUCER, ""
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _shared_constants(graph: onnx.GraphProto) -> dict[str, str]:
    """Remove constants that are there already; the short name of every constant, one for equal ones."""
    first: dict[bytes, str] = {}
    names: dict[str, str] = {}
    kept = []
    for constant in sorted(graph.initializer, key=lambda constant: constant.name):
        name = constant.name
        constant.name = ""
        content = constant.SerializeToString(deterministic=True)
        constant.name = name
        if content not in first:
            first[content] = f"v{len(names)}"
            kept.append(constant)
        names[name] = first[content]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return names
