"""Running an exported file as it is: ONNX Runtime on one CPU thread, batch by batch."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME

BATCH = 64


def open_session(graph: bytes, *, threads: int = 1) -> ort.InferenceSession:
    """A CPU session on ONNX bytes."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def logits_of(graph: bytes, points: NDArray[np.float32], *, threads: int = 1) -> NDArray[np.float32]:
    """(n, T, V, C) or (n, M, T, V, C) points -> (n, K) logits of the file."""
    session = open_session(graph, threads=threads)
    starts = range(0, len(points), BATCH)
    return np.concatenate([session.run([OUTPUT_NAME], {INPUT_NAME: points[s : s + BATCH]})[0] for s in starts])
