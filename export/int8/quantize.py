"""Post-training static quantisation: equalise, find ranges, round; an 8-bit graph from calibration clips alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from last_edge.errors import UsageError
from last_edge.export.int8.kernel_form import array
from last_edge.export.int8.qdq import USUAL_TARGET, float_nodes, read_graph, target_named, with_qdq
from last_edge.export.int8.ranges import Method, calibrate
from last_edge.export.onnx.session import open_session
from last_edge.inputs.features import Inputs, batches, count_of, pick
from last_edge.tasks.config import QuantizeConfig

# Clips that equalise: largest values a channel are far steadier than a range.
FEW, BATCH = 128, 32
# Of the scales of equalisation.
SMALLEST, LARGEST = 0.1, 10.0
AUTO = "auto"
USUAL_METHOD: Method = "entropy"


@dataclass(frozen=True)
class QuantizeOptions:
    """How ranges are found, what is done to the weights first, and what stays float.

    method: `minmax`; `percentile`, the share of values inside the range; or `entropy`, the range whose 8-bit histogram
    is nearest to the float one (Migacz 2017); None, a recipe's `auto`, leaves it to the kind of bundle.
    equalise: bring channels to like range first (`equalise`); None where the graph has channels that it can do so to.
    keep_float: names of further nodes to leave in float, when one of them costs accuracy.
    float_head: leave pooling and classifier in float; they are a thousandth of the work.
    target: of `targets.TARGETS`.
    """

    method: Method | None = None
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
        method: Method | None = None if limits.method == AUTO else limits.method  # type: ignore[assignment]
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
    can = bool(relu_pairs(read_graph(graph)))
    if options.equalise and not can:
        raise UsageError(
            "nothing to equalise in this model", expected="two convolutions with nothing but a ReLU between them",
            hint="without quantize.equalise=true",
        )  # fmt: skip
    if options.equalise is not False and can:
        graph = equalise(graph, pick(pick(inputs, slice(None, None, max(1, count_of(inputs) // FEW))), slice(FEW)))
    model = read_graph(graph)
    rounded = {str(node.name) for node in model.graph} - float_nodes(model, float_head=options.float_head)
    method = options.method or USUAL_METHOD
    ranges = calibrate(graph, inputs, method=method, percentile=options.percentile, nodes=rounded)
    equalised = options.equalise is not False and can
    return Prepared(graph, ranges, dataclasses.replace(options, method=method, equalise=equalised))


@dataclass(frozen=True)
class Pair:
    """Two convolutions with nothing but a ReLU between them. between: the tensor that the second one reads."""

    first: ir.Node
    second: ir.Node
    between: str


def equalise(graph: bytes, inputs: Inputs) -> bytes:
    """Cross-layer equalisation (Nagel et al. 2019): the same function with every such pair's channels of like range.

    relu(s x) = s relu(x) for s > 0. The weights have a scale a channel already, so it is the activations' ranges over
    the clips that come together, wholly where the second convolution is depthwise, else by the root, which leaves the
    other half to its weights.
    """
    model = read_graph(graph)
    pairs = relu_pairs(model)
    ranges = largest_magnitudes(graph, [pair.between for pair in pairs], inputs)
    for pair in pairs:
        weight = array(pair.second.inputs[1])
        depthwise = weight.shape[1] == 1
        largest = ranges[pair.between]
        scale = np.maximum(largest, 1e-6 * max(largest.max(), 1e-12))
        if not depthwise:
            scale = np.sqrt(scale / np.maximum(np.abs(weight).max(axis=(0, 2, 3)), 1e-12))
        scale = np.clip(scale / np.exp(np.log(scale).mean()), SMALLEST, LARGEST)
        for value in pair.first.inputs[1:3]:
            _set(value, array(value) / scale.reshape(-1, *[1] * (array(value).ndim - 1)))
        _set(pair.second.inputs[1], weight * scale.reshape((-1, 1, 1, 1) if depthwise else (1, -1, 1, 1)))
    return bytes(ir.to_proto(model).SerializeToString(deterministic=True))


def relu_pairs(model: ir.Model) -> list[Pair]:
    """Pairs in the order of the graph; the second convolution is the ReLU's only reader."""
    pairs = []
    for node in model.graph:
        chain = [node]
        while len(readers := chain[-1].outputs[0].uses()) == 1 and len(chain) < 3:
            chain.append(next(iter(readers)).node)
        if [each.op_type for each in chain] == ["Conv", "Relu", "Conv"] and len(node.inputs) > 2:
            pairs.append(Pair(node, chain[2], str(chain[1].outputs[0].name)))
    return pairs


def largest_magnitudes(graph: bytes, names: Sequence[str], inputs: Inputs) -> dict[str, NDArray[np.float64]]:
    """Largest magnitude of each channel of tensors (N, C, ...) over clips, (C,), by tensor."""
    proto = onnx.load_from_string(graph)
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = open_session(proto.SerializeToString())
    largest = {name: np.zeros(1) for name in names}
    for batch in batches(inputs, BATCH):
        for name, value in zip(names, session.run(list(names), batch), strict=True):
            rows = np.moveaxis(value, 1, 0).reshape(value.shape[1], -1)
            largest[name] = np.maximum(largest[name], np.abs(rows).max(1))
    return largest


def _set(value: ir.Value | None, content: NDArray[np.float64]) -> None:
    assert value is not None
    value.const_value = ir.tensor(np.ascontiguousarray(content, np.float32), name=value.name)
