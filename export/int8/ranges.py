"""Range of every activation over the calibration clips: the whole span, most of it, or the least information lost."""

import io
import math
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import CalibraterBase, TensorsData, create_calibrator

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from last_edge.errors import GateError, InputError
from last_edge.export.onnx.session import open_session
from last_edge.inputs.features import Inputs, batches, count_of

Feed = dict[str, NDArray[Any]]
Method = Literal["minmax", "percentile", "entropy"]
METHODS: dict[str, CalibrationMethod] = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
# Operators whose inputs and outputs may become 8 bits; Transpose and Slice keep their input's range.
QUANTISED = ("Conv", "MatMul", "Add", "Relu", "Clip", "Transpose")
CALIBRATION_BATCH = 32
MOST_BYTES = 500_000_000
"""Of a batch's activations, all of which are kept until their ranges are known."""


def first_map(nodes: Sequence[Any]) -> int:
    """Index of the node whose output is the first feature map: the first convolution or its activation.

    `GateError` for a graph without one, which has no 8-bit form.
    """
    first = next((index for index, node in enumerate(nodes) if node.op_type == "Conv"), -1)
    if first < 0:
        raise GateError("the graph has no convolution to round to 8 bits")
    return first + 1 if nodes[first + 1].op_type == "Relu" else first


def front_outputs(proto: onnx.ModelProto) -> list[str]:
    """What the rest of the graph reads of the front: the first feature map and, to tell bodies, the streams."""
    nodes = list(proto.graph.node)
    made_by = {output: node for node in nodes for output in node.output}
    front: list[onnx.NodeProto] = []
    waiting = [nodes[first_map(nodes)]]
    while waiting:
        node = waiting.pop()
        if node not in front:
            front.append(node)
            waiting += [made_by[name] for name in node.input if name in made_by]
    inside = {output for node in front for output in node.output}
    return list(dict.fromkeys(name for node in nodes if node not in front for name in node.input if name in inside))


def calibrate(
    graph: bytes, inputs: Inputs, *, method: Method, percentile: float, nodes: Collection[str] | None = None
) -> TensorsData:
    """Range of every activation behind the front over the calibration windows; batch by batch, so memory stays small.

    The front is run apart, because its NaN have no range. nodes: see `ranges_over`. `InputError` without clips.
    """
    if not count_of(inputs):
        raise InputError("no calibration clips")
    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))
    names, parts = front_outputs(proto), onnx.utils.Extractor(proto)
    front = open_session(parts.extract_model([INPUT_NAME], names).SerializeToString())
    others = [value.name for value in proto.graph.input if value.name != INPUT_NAME]
    body = parts.extract_model([*names, *others], [OUTPUT_NAME])
    at_once = max(1, min(CALIBRATION_BATCH, MOST_BYTES // bytes_of_a_clip(proto)))

    def feeds() -> Iterator[Feed]:
        for given in batches(inputs, at_once):
            values = front.run(names, {INPUT_NAME: given.pop(INPUT_NAME)})
            yield dict(zip(names, values, strict=True)) | given

    return ranges_over(body, feeds(), method=method, percentile=percentile, nodes=nodes)


def bytes_of_a_clip(inferred: onnx.ModelProto) -> int:
    """Of all float32 activations of a graph whose shapes are inferred; a free axis counts as 1."""
    shapes = (value.type.tensor_type.shape for value in inferred.graph.value_info)
    return max(1, 4 * sum(math.prod(max(axis.dim_value, 1) for axis in shape.dim) for shape in shapes))


def ranges_over(
    body: onnx.ModelProto, feeds: Iterable[Feed], *, method: Method, percentile: float,
    kinds: Sequence[str] = QUANTISED, nodes: Collection[str] | None = None,
) -> TensorsData:  # fmt: skip
    """Range of everything that nodes of these kinds read and write in a graph, over what it is fed.

    nodes: names of those that count, None for all. Attention's masked scores reach -10,000 in some clips alone: a
    histogram that had begun with the others would grow to millions of bins.
    """
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):  # its progress is no result
        calibrator = _calibrator(body, Path(folder), method, percentile, kinds)
        if nodes is not None and method != "minmax":
            own = [node for node in body.graph.node if node.op_type in kinds and node.name in nodes]
            calibrator.tensors_to_calibrate &= {name for node in own for name in (*node.input, *node.output)}
        for feed in feeds:
            calibrator.collect_data(_OneBatch(feed))
        return calibrator.compute_data()


def _calibrator(
    body: onnx.ModelProto, folder: Path, method: Method, percentile: float, kinds: Sequence[str]
) -> CalibraterBase:
    model, augmented = folder / "model.onnx", folder / "augmented.onnx"
    onnx.save(body, model)
    extra: dict[str, Any] = {"symmetric": False}
    if method == "percentile":
        extra["percentile"] = percentile
    calibrator = create_calibrator(
        model, list(kinds), str(augmented), calibrate_method=METHODS[method], extra_options=extra
    )
    calibrator.infer_session = open_session(augmented.read_bytes())
    return calibrator


class _OneBatch(CalibrationDataReader):  # type: ignore[misc]
    """Gives one batch, once."""

    def __init__(self, batch: Feed) -> None:
        self._next: Feed | None = batch

    def get_next(self) -> Feed | None:
        """The batch, then None."""
        batch, self._next = self._next, None
        return batch
