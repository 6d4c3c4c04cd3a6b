"""LiteRT on the processor, with XNNPACK: what phones and single-board computers run. It takes `.tflite` files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError
from last_edge.runtime.backends.base import Backend, check_shape, name_of


class LiteRT(Backend):
    """One interpreter. The file holds one clip at a time; a batch is run clip by clip."""

    name = "litert"
    kind = "tflite"
    package, module = "ai-edge-litert", "ai_edge_litert"
    mend = "pip install 'last-edge[litert]'"

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        self.require()
        self._where = name_of(model)
        self._interpreter = _load(model, threads, where=self._where)
        (source,), (result,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._source, self._result = source["index"], result["index"]
        self.input_shape = (None, *(int(size) for size in source["shape"][1:]))

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        check_shape(points.shape, self.input_shape, where=self._where)
        return np.concatenate([self._one(clip[None]) for clip in np.ascontiguousarray(points, np.float32)])

    def _one(self, clip: NDArray[np.float32]) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._source, clip)
        self._interpreter.invoke()
        return np.array(self._interpreter.get_tensor(self._result), np.float32)


def _load(model: Path | bytes, threads: int, *, where: str) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    content = {"model_path": str(model)} if isinstance(model, Path) else {"model_content": model}
    try:
        interpreter = Interpreter(**content, num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError("not a model that LiteRT can load", where=where, got=str(error).split("\n")[0]) from error
    counts = len(interpreter.get_input_details()), len(interpreter.get_output_details())
    if counts != (1, 1):
        raise InputError("the model has other inputs or outputs", where=where, expected="one each", got=counts)
    return interpreter
