"""ONNX Runtime on the processor: the backend that every machine has."""

from __future__ import annotations

from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from last_edge.errors import InputError, MissingError
from last_edge.runtime.backends.base import Backend

DISTRIBUTION = "onnxruntime"


class OnnxRuntimeCpu(Backend):
    """One session with a fixed number of threads that sleep, not spin, between calls.

    Inputs are passed as they are: binding them to the session measured no faster on models of this size.
    `__call__` raises `InputError` when the points do not have the graph's shape.
    """

    name = "onnxruntime-cpu"

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        if reason := self.why_not():
            raise MissingError(reason, hint="pip install 'last-edge[runtime]'")
        self._where = str(model) if isinstance(model, Path) else "model in memory"
        self._session = _create_session(model, threads, where=self._where)
        self.input_shape = _door(self._session, where=self._where)

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        self._check(points.shape)
        (logits,) = self._session.run([OUTPUT_NAME], {INPUT_NAME: np.ascontiguousarray(points, np.float32)})
        return np.asarray(logits, np.float32)

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._session.get_modelmeta().custom_metadata_map)

    @classmethod
    def why_not(cls) -> str:
        return "" if util.find_spec("onnxruntime") else "ONNX Runtime is not installed"

    @classmethod
    def version(cls) -> str:
        return metadata.version(DISTRIBUTION) if cls.is_available() else ""

    def _check(self, shape: tuple[int, ...]) -> None:
        fits = len(shape) == len(self.input_shape) and all(
            wanted in (None, given) for wanted, given in zip(self.input_shape, shape, strict=True)
        )
        if not fits:
            raise InputError("points do not fit the model", where=self._where, expected=self.input_shape, got=shape)


def _create_session(model: Path | bytes, threads: int, *, where: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    content = str(model) if isinstance(model, Path) else model
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no base class but this one
        raise InputError(
            "not a model that ONNX Runtime can load", where=where, got=str(error).split("\n")[0]
        ) from error


def _door(session: Any, *, where: str) -> tuple[int | None, ...]:
    """Shape of the one input `landmarks`, None for a free axis; `InputError` when the names are others."""
    inputs, outputs = ([node.name for node in nodes] for nodes in (session.get_inputs(), session.get_outputs()))
    if inputs != [INPUT_NAME] or OUTPUT_NAME not in outputs:
        raise InputError(
            "the model has other inputs or outputs",
            where=where,
            expected=f"{INPUT_NAME} → {OUTPUT_NAME}",
            got=(inputs, outputs),
        )
    return tuple(size if isinstance(size, int) else None for size in session.get_inputs()[0].shape)
