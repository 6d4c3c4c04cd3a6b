"""ONNX Runtime on the processor: the backend that every machine has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.runtime.backends.base import Backend, check_shape, told
from last_edge.runtime.backends.onnxruntime_session import OrtOptions, caller, create_session, door

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
        self.input_shape = door(self._session, where=self._where)
        self._call = caller(self._session, options.buffers)

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        check_shape(points.shape, self.input_shape, where=self._where)
        return self._call(np.ascontiguousarray(points, np.float32))

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._session.get_modelmeta().custom_metadata_map)
