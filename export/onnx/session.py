"""Running an exported file as it is: ONNX Runtime on one CPU thread, batch by batch. Needs neither torch nor onnx."""

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from last_edge.errors import InputError
from last_edge.inputs.features import Inputs, batches
from last_edge.runtime.backends import Backend, OnnxRuntimeCpu
from last_edge.runtime.backends.base import limited_memory
from last_edge.runtime.recognise.model import Settings, open_backend

BATCH = 64


def open_session(graph: bytes, *, threads: int = 1) -> ort.InferenceSession:
    """A CPU session on ONNX bytes; `InputError` when they are no graph that ONNX Runtime runs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    try:
        with limited_memory():
            return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no base class but this one
        raise InputError("not a graph that ONNX Runtime can run", got=str(error).split("\n")[0]) from error


def logits_of(graph: bytes, inputs: Inputs, *, threads: int = 1) -> NDArray[np.float32]:
    """Logits (n, K) of the file for n clips' inputs."""
    return answers_of(open_backend(OnnxRuntimeCpu.name, graph, Settings(threads)), inputs)


def answers_of(model: Backend, inputs: Inputs) -> NDArray[np.float32]:
    """Logits (n, K) of a loaded file for n clips' inputs."""
    return np.concatenate([model.run(batch) for batch in batches(inputs, BATCH)])
