"""A graph in float16 from its first layer on, for builders that take precisions from the graph, as TensorRT does."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from last_edge.errors import GateError, InputError

WEIGHTED = ("Conv", "Gemm", "MatMul")
LARGEST = float(np.finfo(np.float16).max)


def to_half(content: bytes, *, where: object) -> bytes:
    """A float32 graph with weights and values in float16; its inputs and outputs stay float32.

    What comes before the first layer with weights stays too: raw points are centred and subtracted there, and float16
    would round metres to millimetres before. `InputError` without such a layer or with quantisers, `GateError` where a
    weight is too large for float16 or the graph has no such form. where: names the graph in errors.
    """
    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    graph = (model := ir.from_proto(proto)).graph
    network, halves = set[ir.Value](), dict[ir.Value, ir.Value]()
    for node in list(graph):
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            raise InputError("a graph in 8 bits has no form in float16", where=where, expected="the FP32 graph")
        layer = node.op_type in WEIGHTED and any(value is not None and value.is_initializer() for value in node.inputs)
        if not layer and not network.intersection(node.inputs):
            continue
        for place, value in enumerate(node.inputs):
            if value is None or value in network or value.dtype != ir.DataType.FLOAT:
                continue
            if value not in halves:
                halves[value] = _stored(graph, value, where) if value.is_initializer() else _cast(graph, value, node)
            node.replace_input_with(place, halves[value])
        network.update(node.outputs)
        for value in node.outputs:
            value.dtype = ir.DataType.FLOAT16 if value.dtype == ir.DataType.FLOAT else value.dtype
    if not network:
        raise InputError("no layer with weights", where=where, expected=" or ".join(WEIGHTED))
    for place, value in enumerate(graph.outputs):
        if value.dtype == ir.DataType.FLOAT16:
            name, value.name = value.name, f"{value.name}_half"
            back = ir.node("Cast", [value], attributes={"to": ir.DataType.FLOAT}, name=f"{name}_to_float")
            back.outputs[0].name, back.outputs[0].dtype, back.outputs[0].shape = name, ir.DataType.FLOAT, value.shape
            graph.append(back)
            graph.outputs[place] = back.outputs[0]
    used = {value for node in graph for value in node.inputs}
    for name in [name for name, value in graph.initializers.items() if value not in used]:
        del graph.initializers[name]
    made = ir.to_proto(model)
    try:
        onnx.checker.check_model(made, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateError("the graph has no form in float16", where=where, got=str(error).splitlines()[0]) from error
    return bytes(made.SerializeToString(deterministic=True))


def _stored(graph: ir.Graph, value: ir.Value, where: object) -> ir.Value:
    """A constant in float16, beside the one in float32."""
    assert value.const_value is not None
    array = value.const_value.numpy()
    if array.size and np.abs(array[np.isfinite(array)]).max(initial=0.0) > LARGEST:
        raise GateError("a weight is too large for float16", where=f"{where} › {value.name}", expected=LARGEST,
                        got=float(np.abs(array).max()))  # fmt: skip
    name = f"{value.name}_half"
    half = ir.Value(name=name, const_value=ir.tensor(array.astype(np.float16), name=name))
    half.dtype, half.shape = ir.DataType.FLOAT16, value.shape
    graph.register_initializer(half)
    return half


def _cast(graph: ir.Graph, value: ir.Value, before: ir.Node) -> ir.Value:
    """A value in float16, made before the node that reads it first."""
    cast = ir.node("Cast", [value], attributes={"to": ir.DataType.FLOAT16}, name=f"{value.name}_to_half")
    half = cast.outputs[0]
    half.name, half.dtype, half.shape = f"{value.name}_half", ir.DataType.FLOAT16, value.shape
    graph.insert_before(before, cast)
    return half
