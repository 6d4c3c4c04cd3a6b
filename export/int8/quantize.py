"""Post-training static quantisation: equalise, find ranges, round; an 8-bit graph from calibration clips alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from last_edge.errors import UsageError
from last_edge.export.int8.qdq import USUAL_TARGET, target_named, with_qdq
from last_edge.export.int8.ranges import Method, calibrate
from last_edge.export.onnx.session import open_session
from last_edge.inputs.features import Inputs, batches, count_of, pick
from last_edge.tasks.config import QuantizeConfig

# Clips that equalise: largest values a channel are far steadier than a range.
FEW = 128


@dataclass(frozen=True)
class QuantizeOptions:
    """How ranges are found, what is done to the weights first, and what stays float.

    method: `minmax`; `percentile`, the share of values inside the range; or `entropy`, the range whose 8-bit histogram
    is nearest to the float one (Migacz 2017).
    equalise: bring channels to like range first (`equalise`); None where the graph has channels that it can do so to.
    keep_float: names of further nodes to leave in float, when one of them costs accuracy.
    float_head: leave pooling and classifier in float; they are a thousandth of the work.
    target: of `targets.TARGETS`.
    """

    method: Method = "entropy"
    percentile: float = 99.99
    equalise: bool | None = False
    keep_float: tuple[str, ...] = ()
    float_head: bool = True
    target: str = USUAL_TARGET

    @classmethod
    def from_recipe(
        cls, limits: QuantizeConfig, *, keep_float: tuple[str, ...] = (), target: str = USUAL_TARGET
    ) -> QuantizeOptions:
        """Options as a recipe's `quantize` section has them."""
        method: Method = limits.method  # type: ignore[assignment]
        return cls(method, limits.percentile, limits.equalise, keep_float=keep_float, target=target)


@dataclass(frozen=True)
class Prepared:
    """A graph with its ranges, ready to be rounded with these or other nodes in float. options: as carried out."""

    graph: bytes
    ranges: object
    options: QuantizeOptions

    def rounded(self, *, keep_float: tuple[str, ...] | None = None) -> bytes:
        """The 8-bit graph; keep_float: instead of the options'."""
        kept = self.options.keep_float if keep_float is None else keep_float
        target = target_named(self.options.target)
        return with_qdq(self.graph, self.ranges, target, keep_float=kept, float_head=self.options.float_head)


def quantize_graph(graph: bytes, inputs: Inputs, options: QuantizeOptions | None = None) -> bytes:
    """The 8-bit graph of an FP32 one; `inputs` are those of the calibration clips."""
    return prepare(graph, inputs, options or QuantizeOptions()).rounded()


def prepare(graph: bytes, inputs: Inputs, options: QuantizeOptions) -> Prepared:
    """Equalise and find ranges; `UsageError` when equalising is asked for and the graph has nothing to equalise."""
    can = bool(relu_pairs(onnx.load_from_string(graph)))
    if options.equalise and not can:
        raise UsageError(
            "nothing to equalise in this model", expected="two convolutions with nothing but a ReLU between them",
            hint="without quantize.equalise=true",
        )  # fmt: skip
    if options.equalise is not False and can:
        graph = equalise(graph, pick(pick(inputs, slice(None, None, max(1, count_of(inputs) // FEW))), slice(FEW)))
    ranges = calibrate(graph, inputs, method=options.method, percentile=options.percentile)
    return Prepared(graph, ranges, dataclasses.replace(options, equalise=options.equalise is not False and can))


SMALLEST, LARGEST = 0.1, 10.0


@dataclass(frozen=True)
class Pair:
    """Two convolutions with nothing but a ReLU between them. between: the tensor that the second one reads."""

    first: onnx.NodeProto
    second: onnx.NodeProto
    between: str


def equalise(graph: bytes, inputs: Inputs) -> bytes:
    """The same function with every such pair's channels rescaled: relu(s x) = s relu(x) for s > 0.

    The weights have a scale a channel already, so it is the activations' ranges over the clips that come together,
    wholly where the second convolution is depthwise, else by the root, which leaves the other half to its weights.
    """
    proto = onnx.load_from_string(graph)
    pairs = relu_pairs(proto)
    if not pairs:
        return graph
    ranges = channel_statistics(graph, [pair.between for pair in pairs], inputs)
    constants = {constant.name: constant for constant in proto.graph.initializer}
    for pair in pairs:
        _rescale(pair, ranges[pair.between][1], constants)
    return bytes(proto.SerializeToString(deterministic=True))


def relu_pairs(proto: onnx.ModelProto) -> list[Pair]:
    """Pairs in the order of the graph; the second convolution is the ReLU's only reader."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in proto.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    pairs = []
    for node in proto.graph.node:
        after = readers.get(node.output[0], [])
        if node.op_type != "Conv" or [reader.op_type for reader in after] != ["Relu"] or len(node.input) < 3:
            continue
        second = readers.get(after[0].output[0], [])
        if [reader.op_type for reader in second] == ["Conv"]:
            pairs.append(Pair(node, second[0], after[0].output[0]))
    return pairs


def _rescale(pair: Pair, largest: NDArray[np.float64], constants: dict[str, onnx.TensorProto]) -> None:
    """Divide the first one's channels by s and multiply what the second one reads of them."""
    weight = numpy_helper.to_array(constants[pair.second.input[1]])
    depthwise = weight.shape[1] == 1
    used = np.maximum(largest, 1e-6 * max(largest.max(), 1e-12))
    if depthwise:
        scale = used / np.exp(np.log(used).mean())
    else:
        read = np.maximum(np.abs(weight).max(axis=(0, 2, 3)), 1e-12)
        scale = np.sqrt(used / read)
        scale = scale / np.exp(np.log(scale).mean())
    scale = np.clip(scale, SMALLEST, LARGEST)
    for name in pair.first.input[1:3]:
        value = numpy_helper.to_array(constants[name])
        _set(constants[name], value / scale.reshape(-1, *[1] * (value.ndim - 1)))
    shape = (-1, 1, 1, 1) if depthwise else (1, -1, 1, 1)
    _set(constants[pair.second.input[1]], weight * scale.reshape(shape))


def _set(constant: onnx.TensorProto, value: NDArray[np.float64]) -> None:
    constant.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), constant.name))


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
