"""ONNX Runtime on the processor: the backend that every machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import OUTPUT_NAME
from last_edge.errors import InputError
from last_edge.inputs.features import LANDMARKS, inputs_of
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

    def __call__(self, points: NDArray[Any]) -> NDArray[np.float32]:
        if len(self.input_shapes) > 1:
            return self._of_records(points)
        check_shape(points.shape, self.input_shape, where=self._where)
        return self._call(np.ascontiguousarray(points, np.float32))

    def _of_records(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """Of a graph with a second input, whose batches are records of both."""
        given = inputs_of(points)
        if list(given) != list(self.input_shapes):
            expected, hint = " and ".join(self.input_shapes), "a clip store with these features beside it"
            raise InputError("the model reads more than landmarks", where=self._where, expected=expected, hint=hint)
        for name, shape in self.input_shapes.items():
            check_shape(given[name].shape, shape, where=f"{self._where} › {name}")
        return np.asarray(self._session.run([OUTPUT_NAME], given)[0], np.float32)

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._session.get_modelmeta().custom_metadata_map)
