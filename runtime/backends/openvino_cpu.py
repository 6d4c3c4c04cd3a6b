"""OpenVINO on the processor. It reads the same ONNX files; FP32 stays FP32 where its own choice would be BF16."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from last_edge.errors import InputError
from last_edge.runtime.backends.base import Backend, Shape, check_shape, name_of


class OpenVinoCpu(Backend):
    """One infer request with a fixed number of threads. `InputError` as the ONNX Runtime backends raise it."""

    name = "openvino"
    package = module = "openvino"
    mend = "pip install 'last-edge[openvino]'"

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        self.require()
        self._where = name_of(model)
        compiled = compile_model(model, threads=threads, where=self._where)
        self.input_shape = _landmark_shape(compiled, where=self._where)
        self._request = compiled.create_infer_request()

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        check_shape(points.shape, self.input_shape, where=self._where)
        answer = self._request.infer({INPUT_NAME: np.ascontiguousarray(points, np.float32)})
        return np.array(answer[OUTPUT_NAME], np.float32)


def compile_model(model: Path | bytes, *, threads: int, where: str) -> Any:
    """A model ready to run; `InputError` when OpenVINO cannot load it."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    try:
        core = openvino.Core()
        return core.compile_model(core.read_model(str(model) if isinstance(model, Path) else model), "CPU", settings)
    except RuntimeError as error:
        raise InputError("not a model that OpenVINO can load", where=where, got=str(error).split("\n")[0]) from error


def _landmark_shape(compiled: Any, *, where: str) -> Shape:
    inputs, outputs = (sorted(_names(ports)) for ports in (compiled.inputs, compiled.outputs))
    if inputs != [INPUT_NAME] or OUTPUT_NAME not in outputs:
        raise InputError("the model has other inputs or outputs", where=where,
                         expected=f"{INPUT_NAME} → {OUTPUT_NAME}", got=(inputs, outputs))  # fmt: skip
    return tuple(None if size.is_dynamic else size.get_length() for size in compiled.inputs[0].partial_shape)


def _names(ports: Any) -> list[str]:
    return [name for port in ports for name in port.names]
