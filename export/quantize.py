"""Static INT8: QDQ format, U8 activations times S8 per-channel weights, ranges from calibration clips."""

from __future__ import annotations

import io
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import CalibraterBase, TensorsData, create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from last_edge.errors import InputError, UsageError
from last_edge.export.onnx_graph import PRODUCER
from last_edge.export.session import open_session
from last_edge.names import did_you_mean

Method = Literal["minmax", "percentile", "entropy"]
METHODS: dict[str, CalibrationMethod] = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
QUANTISED = ("Conv", "MatMul", "Add", "Concat", "Relu", "Gemm")
CALIBRATION_BATCH = 32


@dataclass(frozen=True)
class QuantizeOptions:
    """How ranges are found and what stays float.

    method: `minmax`; `percentile`, the share of values inside the range; or `entropy`, the range whose 8-bit histogram
    is nearest to the float one (Migacz 2017), which keeps the most answers on long-tailed activations.
    keep_float: names of further nodes to leave in float, when one of them costs accuracy.
    float_head: leave pooling and classifier in float; they are a thousandth of the work.
    """

    method: Method = "entropy"
    percentile: float = 99.99
    keep_float: tuple[str, ...] = ()
    float_head: bool = True


def quantize_graph(graph: bytes, points: NDArray[np.float32], options: QuantizeOptions | None = None) -> bytes:
    """The INT8 graph beside an FP32 one; `points` (n, T, V, C) are the calibration windows.

    The front and the first convolution stay float: its inputs differ in scale by an order of magnitude. So do the
    products of LAST-E's gates and its Hardswish, which has no 8-bit kernel: LAST-E gets small, not fast.
    """
    options = options or QuantizeOptions()
    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))
    excluded = float_nodes(proto, options)
    ranges = calibrate(graph, points, options)
    quantizer = QDQQuantizer(
        proto,
        True,  # per channel
        False,  # full 8-bit range
        QuantType.QInt8,
        QuantType.QUInt8,
        ranges,
        [],
        sorted(excluded),
        list(QUANTISED),
        {"WeightSymmetric": True, "ActivationSymmetric": False, "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1}},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    return bytes(compact(quantizer.model.model).SerializeToString(deterministic=True))


def float_nodes(proto: onnx.ModelProto, options: QuantizeOptions) -> set[str]:
    """Names of the nodes that stay float: everything up to the first convolution, the head, and what the user named."""
    nodes = list(proto.graph.node)
    names = [node.name for node in nodes]
    for name in options.keep_float:
        if name not in names:
            raise UsageError(f"unknown node {name!r}", expected=did_you_mean(name, names))
    kept = {*names[: _door(nodes) + 1], *options.keep_float}
    if options.float_head:
        last = max(index for index, node in enumerate(nodes) if node.op_type == "Add")
        kept |= set(names[last + 1 :])
    return kept


def _door(nodes: list[onnx.NodeProto]) -> int:
    """Index of the node whose output is the first feature map: the first convolution or its activation."""
    first = next(index for index, node in enumerate(nodes) if node.op_type == "Conv")
    return first + 1 if nodes[first + 1].op_type == "Relu" else first


def calibrate(graph: bytes, points: NDArray[np.float32], options: QuantizeOptions) -> TensorsData:
    """Range of every activation behind the front over the calibration windows.

    The front is run apart, because its NaN have no range; batch by batch, so that memory stays small.
    """
    if not len(points):
        raise InputError("no calibration clips")
    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))
    nodes = list(proto.graph.node)
    features = nodes[_door(nodes)].output[0]
    parts = onnx.utils.Extractor(proto)
    front = open_session(parts.extract_model([INPUT_NAME], [features]).SerializeToString())
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):  # its progress is no result
        calibrator = _calibrator(parts.extract_model([features], [OUTPUT_NAME]), Path(folder), options)
        for start in range(0, len(points), CALIBRATION_BATCH):
            batch = front.run([features], {INPUT_NAME: points[start : start + CALIBRATION_BATCH]})[0]
            calibrator.collect_data(_OneBatch({features: batch}))
        return calibrator.compute_data()


def _calibrator(body: onnx.ModelProto, folder: Path, options: QuantizeOptions) -> CalibraterBase:
    model, augmented = folder / "model.onnx", folder / "augmented.onnx"
    onnx.save(body, model)
    extra: dict[str, Any] = {"symmetric": False}
    if options.method == "percentile":
        extra["percentile"] = options.percentile
    calibrator = create_calibrator(
        model, list(QUANTISED), str(augmented), calibrate_method=METHODS[options.method], extra_options=extra
    )
    calibrator.infer_session = open_session(augmented.read_bytes())
    return calibrator


class _OneBatch(CalibrationDataReader):  # type: ignore[misc]
    """Gives one batch, once."""

    def __init__(self, batch: dict[str, NDArray[np.float32]]) -> None:
        self._next: dict[str, NDArray[np.float32]] | None = batch

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The batch, then None."""
        batch, self._next = self._next, None
        return batch


def compact(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Equal constants once, short names, no shape notes: they are a quarter of a small INT8 file."""
    graph = proto.graph
    names = _shared_constants(graph)
    fixed = {value.name for value in (*graph.input, *graph.output)}

    def rename(name: str) -> str:
        return name if not name or name in fixed else names.setdefault(name, f"v{len(names)}")

    for index, node in enumerate(graph.node):
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
        node.ClearField("doc_string")
        node.name = f"{node.op_type}_{index}"
    for constant in graph.initializer:
        constant.name = rename(constant.name)
    del graph.value_info[:]
    proto.producer_name, proto.producer_version = PRODUCER, ""
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _shared_constants(graph: onnx.GraphProto) -> dict[str, str]:
    """Remove constants that are there already; the short name of every constant, one for equal ones."""
    first: dict[bytes, str] = {}
    names: dict[str, str] = {}
    kept = []
    for constant in sorted(graph.initializer, key=lambda constant: constant.name):
        name = constant.name
        constant.name = ""
        content = constant.SerializeToString(deterministic=True)
        constant.name = name
        if content not in first:
            first[content] = f"v{len(names)}"
            kept.append(constant)
        names[name] = first[content]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return names
