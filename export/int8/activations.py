"""Values of a graph's inner tensors on clips, for what is chosen from data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from last_edge.export.onnx.session import open_session
from last_edge.inputs.features import Inputs, batches, count_of

BATCH = 32


def channel_statistics(
    graph: bytes, names: Sequence[str], inputs: Inputs
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Mean and largest magnitude of each channel of tensors (N, C, ...) over clips, both (C,), by tensor."""
    proto = onnx.load_from_string(graph)
    known = {value.name for value in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    session = open_session(proto.SerializeToString())
    sums = {name: np.zeros(1) for name in names}
    largest = {name: np.zeros(1) for name in names}
    for batch in batches(inputs, BATCH):
        for name, value in zip(names, session.run(list(names), batch), strict=True):
            rows = np.moveaxis(value, 1, 0).reshape(value.shape[1], -1)
            sums[name] = sums[name] + rows.mean(1, dtype=np.float64) * count_of(batch)
            largest[name] = np.maximum(largest[name], np.abs(rows).max(1))
    return {name: (sums[name] / count_of(inputs), largest[name]) for name in names}
