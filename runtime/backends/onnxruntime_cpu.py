"""ONNX Runtime on the processor: the backend that every machine has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import OUTPUT_NAME
from last_edge.errors import InputError
from last_edge.inputs.features import LANDMARKS, Inputs
from last_edge.runtime.backends.base import Backend, check_shape, told
from last_edge.runtime.backends.onnxruntime_session import OrtOptions, caller, create_session, doors

PROVIDER = "CPUExecutionProvider"


class OnnxRuntimeCpu(Backend):
    """One session with a fixed number of threads that sleep, not spin, between calls unless the options say so.

    `__call__` raises `InputError` when the points do not have the graph's shape.
    """

    name = "onnxruntime-cpu"
    package = module = "onnxruntime"
    mend = "pip install 'last-edge[runtime]'"

    def __init__(self, model: Path | bytes, *, threads: int = 1, options: OrtOptions | None = None) -> None:
        self.require()
        options, self._where = options or OrtOptions(), told(model)
        self._session = create_session(model, threads=threads, options=options, providers=[PROVIDER], where=self._where)
        self.input_shapes = doors(self._session, where=self._where)
        self.input_shape = self.input_shapes[LANDMARKS]
        self._call = caller(self._session, options.buffers)

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(self.input_shapes) > 1:
            return self.run({LANDMARKS: points})
        check_shape(points.shape, self.input_shape, where=self._where)
        return self._call(np.ascontiguousarray(points, np.float32))

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        if len(self.input_shapes) == 1:
            return super().run(inputs)
        if list(inputs) != list(self.input_shapes):
            expected, hint = " and ".join(self.input_shapes), "a clip store with these features beside it"
            raise InputError("the model reads more than landmarks", where=self._where, expected=expected, hint=hint)
        for name, shape in self.input_shapes.items():
            check_shape(inputs[name].shape, shape, where=f"{self._where} › {name}")
        feed = {name: np.ascontiguousarray(array, np.float32) for name, array in inputs.items()}
        return np.asarray(self._session.run([OUTPUT_NAME], feed)[0], np.float32)

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._session.get_modelmeta().custom_metadata_map)
