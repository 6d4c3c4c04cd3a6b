"""Looking between the nodes of a graph: values made outputs, and run in a backend that gives all outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from last_edge.bundle.manifest import INPUT_NAME
from last_edge.errors import InputError
from last_edge.inputs.features import Inputs

Values = dict[str, NDArray[np.float64]]
NUMBERS = (onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL, onnx.TensorProto.INT64)


def tapped(proto: onnx.ModelProto, names: Sequence[str], backend: str, inputs: Inputs) -> Values:
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
    from last_edge.export.onnx.session import open_session

    return list(open_session(graph).run(list(names), dict(inputs)))


def _in_openvino(graph: bytes, names: Sequence[str], inputs: Inputs) -> list[NDArray[np.float32]]:
    from last_edge.runtime.backends.openvino_cpu import compile_model

    answer = compile_model(graph, threads=1, where="model in memory")(dict(inputs))
    return [np.array(answer[name]) for name in names]


Runner = Callable[[bytes, Sequence[str], Inputs], list[NDArray[np.float32]]]
RUNNERS: dict[str, Runner] = {"onnxruntime-cpu": _in_onnxruntime, "openvino": _in_openvino}
