"""AdaRound (Nagel et al. 2020): each weight up or down as its layer's output needs it, not to the nearest."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from last_edge.export.int8.torch_ops import attributes_of, convolve
from last_edge.export.onnx.session import open_session
from last_edge.inputs.features import Inputs, batches, pick

STEPS, BATCH, CLIPS = 120, 8, 32
RATE = 0.03
# Weight of the term that drives every weight to one side, and its exponent from the first step to the last.
DECIDE, SHARPEST, BLUNTEST = 0.02, 2.0, 20.0
# A stretched sigmoid reaches 0 and 1.
STRETCH = 1.2


def adaround(graph: bytes, inputs: Inputs, *, seven_bits: bool = False) -> bytes:
    """The FP32 graph with every convolution's weights on the grid that they will be rounded to.

    A channel's largest weight is the end of its grid and stays, so that rounding to the nearest finds the same grid.
    """
    proto = onnx.load_from_string(graph)
    convs = [node for node in proto.graph.node if node.op_type == "Conv"][1:]
    constants = {constant.name: constant for constant in proto.graph.initializer}
    for node in convs:
        values = torch.from_numpy(_values(graph, node.input[0], pick(inputs, slice(CLIPS))))
        if 1 in values.shape[2:]:
            continue
        weight = torch.from_numpy(numpy_helper.to_array(constants[node.input[1]]).copy())
        made = _rounded(weight, values, node, end=63 if seven_bits else 127)
        constants[node.input[1]].CopyFrom(numpy_helper.from_array(made.numpy(), node.input[1]))
    return bytes(proto.SerializeToString(deterministic=True))


def _values(graph: bytes, name: str, inputs: Inputs) -> NDArray[np.float32]:
    proto = onnx.load_from_string(graph)
    proto.graph.output.append(onnx.ValueInfoProto(name=name))
    session = open_session(proto.SerializeToString())
    return np.concatenate([session.run([name], batch)[0] for batch in batches(inputs, BATCH)])


def _rounded(weight: Tensor, inputs: Tensor, node: onnx.NodeProto, *, end: int) -> Tensor:
    """Weights (C', C, ...) on their grid that change the layer's output least over the inputs (n, C, T, V)."""
    attributes = attributes_of(node)
    step = (weight.abs().flatten(1).amax(1) / end).clamp(min=1e-12).reshape(-1, *[1] * (weight.dim() - 1))
    floor = (weight / step).floor()
    share = (weight / step - floor).clamp(1e-3, 1 - 1e-3)
    choice = _unstretch(share).requires_grad_()
    optimizer = torch.optim.Adam([choice], lr=RATE)
    generator = torch.Generator().manual_seed(0)
    for index in range(STEPS):
        batch = inputs[torch.randint(len(inputs), (BATCH,), generator=generator)]
        up = _stretched(choice)
        change = convolve(batch, (floor + up) * step - weight, None, attributes)
        blunt = BLUNTEST + (SHARPEST - BLUNTEST) * index / STEPS
        undecided = (1 - (2 * up - 1).abs().pow(blunt)).mean() if index > STEPS // 5 else up.new_zeros(())
        scale = change.new_tensor(1.0) / convolve(batch, weight, None, attributes).square().mean().clamp(min=1e-12)
        loss = change.square().mean() * scale * 1000.0 + DECIDE * undecided
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    grid = floor + (_stretched(choice.detach()) >= 0.5).float()
    at_end = (weight / step).abs() >= end - 0.5
    return torch.where(at_end, (weight / step).round(), grid).clamp(-end, end) * step


def _stretched(choice: Tensor) -> Tensor:
    return (torch.sigmoid(choice) * STRETCH - (STRETCH - 1) / 2).clamp(0, 1)


def _unstretch(share: Tensor) -> Tensor:
    return torch.logit((share + (STRETCH - 1) / 2) / STRETCH)
