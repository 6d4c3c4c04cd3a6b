"""Bias correction (Nagel et al. 2019): what rounding shifts a convolution's mean by is taken from its bias."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import numpy_helper

from last_edge.export.int8.activations import channel_statistics
from last_edge.inputs.features import Inputs

Quantiser = Callable[[bytes], bytes]
"""FP32 graph -> 8-bit graph whose nodes have kept their names."""


def correct_biases(graph: bytes, quantise: Quantiser, inputs: Inputs) -> bytes:
    """The FP32 graph with biases that make each quantised convolution's mean output what it was, layer after layer.

    A layer is measured behind those already corrected, so that no shift is taken twice.
    """
    proto = onnx.load_from_string(graph)
    convs = [node for node in proto.graph.node if node.op_type == "Conv" and len(node.input) > 2]
    expected = channel_statistics(graph, [node.output[0] for node in convs], inputs)
    biases = {constant.name: constant for constant in proto.graph.initializer}
    for node in convs:
        made = quantise(proto.SerializeToString())
        output = _output_of(made, node.name)
        if output is None:
            continue
        shift = expected[node.output[0]][0] - channel_statistics(made, [output], inputs)[output][0]
        bias = numpy_helper.to_array(biases[node.input[2]])
        corrected = (bias + shift).astype(np.float32)
        biases[node.input[2]].CopyFrom(numpy_helper.from_array(corrected, node.input[2]))
    return bytes(proto.SerializeToString(deterministic=True))


def _output_of(graph: bytes, name: str) -> str | None:
    """What a node of the 8-bit graph is called by before it is rounded; None where it stayed float or was rewritten."""
    proto = onnx.load_from_string(graph)
    rounded = {node.input[0] for node in proto.graph.node if node.op_type == "QuantizeLinear"}
    found = [node.output[0] for node in proto.graph.node if node.name == name and node.op_type == "Conv"]
    return found[0] if found and found[0] in rounded else None
