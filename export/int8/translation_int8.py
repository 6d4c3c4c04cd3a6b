"""A translator's graphs in 8 bits: products, whose ranges come from clips, and tables, which are only stored so."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from last_edge.bundle.manifest import INPUT_NAME
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import padded, sentence_points
from last_edge.errors import UsageError
from last_edge.export.int8.qdq import FEWEST_WEIGHTS, LARGEST, compact, weights_in_8_bits
from last_edge.export.int8.ranges import Feed, Method, ranges_over
from last_edge.names import did_you_mean
from last_edge.runtime.translator import OnnxDecoder, RecordingSession, Translator
from last_edge.text import search

PRODUCT = "MatMul"
BATCH = 16
Clips = NDArray[np.int64]


def int8_graph(
    graph: bytes, feeds: Iterable[Feed], *, method: Method, percentile: float, keep_float: Collection[str] = ()
) -> bytes:
    """The 8-bit graph of an encoder's or decoder's FP32 one, ranges from what it is fed.

    Products with weights read unsigned 8-bit values and signed 8-bit weights, a scale an output channel, and write
    float. Products of attention, softmax, norms and sums are float. The stem's convolutions, whose inputs differ in
    scale, and the tables that rows are taken from are 8 bits in the file and float when they run.
    keep_float: nodes that stay as they are.
    """
    proto = onnx.load_from_string(graph)
    _fold_transposes(proto.graph)
    chosen = _chosen(proto.graph, keep_float)
    ranges = ranges_over(proto, feeds, method=method, percentile=percentile, kinds=(PRODUCT,))
    made = _with_pairs(proto, ranges, chosen)
    stem = {node.name for node in made.graph.node if node.op_type == "Conv"} - set(keep_float)
    _tables_in_8_bits(made.graph, set(keep_float))
    model = ir.from_proto(made)
    weights_in_8_bits(model.graph, stem, everywhere=True)
    return compact(model)


def weight_count(graph: bytes) -> int:
    """Numbers in a graph's float constants."""
    kinds = onnx.load_from_string(graph).graph.initializer
    return sum(int(np.prod(constant.dims)) for constant in kinds if constant.data_type == onnx.TensorProto.FLOAT)


def _chosen(graph: onnx.GraphProto, keep_float: Collection[str]) -> set[str]:
    """Names of the products with weights, less those that stay float; `UsageError` for a name that is no node's."""
    names = [node.name for node in graph.node]
    for name in keep_float:
        if name not in names:
            raise UsageError(f"unknown node {name!r}", expected=did_you_mean(name, names))
    constants = {constant.name for constant in graph.initializer}
    products = {node.name for node in graph.node if node.op_type == PRODUCT and node.input[1] in constants}
    return products - set(keep_float)


def _with_pairs(proto: onnx.ModelProto, ranges: TensorsData, chosen: Collection[str]) -> onnx.ModelProto:
    """Q/DQ pairs before the chosen products."""
    proto = onnx.shape_inference.infer_shapes(proto)
    quantizer = QDQQuantizer(
        proto,
        True,  # per channel
        False,
        QuantType.QInt8,
        QuantType.QUInt8,
        ranges,
        [],
        sorted({node.name for node in proto.graph.node} - set(chosen)),
        [PRODUCT],
        {
            "WeightSymmetric": True,
            "ActivationSymmetric": False,
            "QDQOpTypePerChannelSupportToAxis": {PRODUCT: 1},
            "OpTypesToExcludeOutputQuantization": [PRODUCT],
        },
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    return quantizer.model.model


def _fold_transposes(graph: onnx.GraphProto) -> None:
    """Transposed constants as constants: the table that scores sub-words is the one that embeds them, turned."""
    constants = {constant.name: constant for constant in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in constants]:
        axes = next(list(attribute.ints) for attribute in node.attribute if attribute.name == "perm")
        turned = np.ascontiguousarray(numpy_helper.to_array(constants[node.input[0]]).transpose(axes))
        graph.initializer.append(numpy_helper.from_array(turned, node.output[0]))
        graph.node.remove(node)


def _tables_in_8_bits(graph: onnx.GraphProto, kept: Collection[str]) -> None:
    """Float tables (K, D) that rows are taken from, as 8-bit rows and a scale a row."""
    constants = {constant.name: constant for constant in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Gather" and node.input[0] in constants]:
        source = node.input[0]
        table = numpy_helper.to_array(constants[source])
        if table.dtype == np.float32 and table.ndim == 2 and table.size >= FEWEST_WEIGHTS and node.name not in kept:
            _as_rows(graph, node, table)
            if not any(source in other.input for other in graph.node):
                graph.initializer.remove(constants[source])


def _as_rows(graph: onnx.GraphProto, node: onnx.NodeProto, table: NDArray[np.float32]) -> None:
    """Replace a Gather of rows by one of 8-bit rows, one of scales, and their product."""
    name, at = node.name, list(graph.node).index(node)
    scale = np.maximum(np.abs(table).max(axis=1, keepdims=True) / LARGEST, np.finfo(np.float32).tiny)
    rows = {f"{name}/q": np.rint(table / scale).astype(np.int8), f"{name}/scale": scale.astype(np.float32)}
    graph.initializer.extend(numpy_helper.from_array(value, label) for label, value in rows.items())
    make, places = onnx.helper.make_node, node.input[1]
    made = [
        make("Gather", [f"{name}/q", places], [f"{name}/rows"], f"{name}/rows", axis=0),
        make("Gather", [f"{name}/scale", places], [f"{name}/scales"], f"{name}/scales", axis=0),
        make("Cast", [f"{name}/rows"], [f"{name}/cast"], f"{name}/cast", to=onnx.TensorProto.FLOAT),
        make("Mul", [f"{name}/cast", f"{name}/scales"], [node.output[0]], name),
    ]
    graph.node.remove(node)
    for item in reversed(made):
        graph.node.insert(at, item)


def encoder_feeds(store: ClipStore, clips: Clips, *, frames: int) -> Iterator[Feed]:
    """What an encoder is given of some clips, one at a time."""
    for clip in clips:
        yield {INPUT_NAME: sentence_points(store, int(clip), frames)[None]}


def decoder_feeds(translator: Translator, store: ClipStore, clips: Clips) -> Iterator[Feed]:
    """What a decoder is given, step by step, while some clips are translated."""
    ordered = clips[np.argsort(store.index.length[clips], kind="stable")]
    for start in range(0, len(ordered), BATCH):
        batch = ordered[start : start + BATCH]
        points = padded([sentence_points(store, int(clip), translator.spec.frames) for clip in batch])
        recorded = RecordingSession(translator.decoder)
        decoder = OnnxDecoder(recorded, translator.encode(points), translator.options.beam)
        search(decoder, len(points), translator.options)
        yield from recorded.feeds
