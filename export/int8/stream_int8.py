"""A stream's graph in 8 bits: the products behind the joints, their ranges found over long runs without a new start.

The states stay float32: what is rounded in one frame is not carried to the next but through the products, so that
nothing adds up. The front and the products over joints, a tenth of the weights, stay float too.
"""

import dataclasses
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import FRAME_NAME, STATE, model_file
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import recordings
from last_edge.export.int8.evaluator import SCHEDULE
from last_edge.export.int8.plan import Made, Plan, Report, beside_float, float_graph
from last_edge.export.int8.qdq import compact, read_graph, weights_in_8_bits
from last_edge.export.int8.ranges import Feed, Method, ranges_over
from last_edge.names import check_known
from last_edge.runtime.backends.stepper import Stepper, stepping
from last_edge.runtime.recognise.model import open_stepper
from last_edge.tasks.config import QuantizeConfig
from last_edge.tasks.plan import CALIBRATION_SPLIT
from last_edge.tasks.registry import STREAMING
from last_edge.tasks.task import Clips, require_gates
from last_edge.timing import clock_for, summarise, time_in_turns

INT8 = "int8"
ROUNDED = ("Gemm", "Relu")
USUAL_METHOD: Method = "percentile"
"""Entropy cuts off what few frames reach, and borders move."""
RUNS = 8
"""Streams that calibrate side by side, each made of recordings one behind the other."""
EVERY = 5
"""Of a run each so manieth frame counts for the ranges; its neighbours are nearly the same."""


class StreamRounding:
    """See `Rounding`. The gates are held on the frames that are measured; nothing of those chooses anything."""

    precision = INT8
    names: tuple[str, ...] = (model_file(INT8),)

    def __init__(self, bundle: Bundle, store: ClipStore, plan: Plan) -> None:
        self.bundle, self.store, self.plan = bundle, store, plan

    def foreseen(self) -> dict[str, Any]:
        return {"clips_for_calibration": len(self._calibration()), "clips_that_judge": 0}

    def make(self, clips: Clips, *, threads: int, report: Report) -> Made:
        bundle, plan, chosen = self.bundle, self.plan, self._calibration()
        graph = float_graph(bundle)
        proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))
        method, percentile = plan.options.method or USUAL_METHOD, plan.options.percentile
        ranges = ranges_over(proto, self._feeds(chosen), method=method, percentile=percentile, kinds=ROUNDED)
        made = rounded(graph, ranges, keep_float=plan.options.keep_float)
        files = {self.names[0]: made}
        answers, events, candidate = beside_float(
            bundle, INT8, files, self.store, clips, threads=threads,
            times=partial(step_milliseconds, frames=bundle.golden.points[0], threads=threads),
        )  # fmt: skip
        gates = STREAMING.gates(candidate, STREAMING.wanted(self.store, clips), plan.gates or QuantizeConfig())
        if plan.gates is not None:
            require_gates(gates, where=bundle.path, hint="other limits with --set quantize.…")
        options = dataclasses.replace(plan.options, method=method, float_head=True, equalise=False)
        return Made(files, chosen, options, answers, gates, {}, events)

    def _calibration(self) -> Clips:
        """Up to so many recordings of the train split, in store order; `InputError` where there is none."""
        clips = STREAMING.clips(self.store, CALIBRATION_SPLIT)
        return np.sort(np.random.default_rng(self.plan.seed).permutation(clips)[: self.plan.count])

    def _feeds(self, clips: Clips) -> Iterator[Feed]:
        """Frames of runs that go on from recording to recording, and the float graph's states before each."""
        assert self.bundle.manifest.stream is not None
        stepper = open_stepper(self.bundle, self.bundle.graph("fp32"))
        rate = self.bundle.manifest.stream.rate
        frames = np.concatenate(recordings(self.store, clips, self.bundle.manifest.input, rate))
        length = max(1, len(frames) // RUNS)
        runs = np.stack([frames[start : start + length] for start in range(0, length * RUNS, length)][: len(frames)])
        state = stepper.start(len(runs))
        for number in range(length):
            points = runs[:, number]
            if number % EVERY == 0:
                yield {FRAME_NAME: points, **{f"{STATE}{name}": value.copy() for name, value in state.items()}}
            _, state = stepper.step(points, state)


def rounded(graph: bytes, ranges: TensorsData, *, keep_float: Collection[str] = ()) -> bytes:
    """The 8-bit graph of an FP32 one: products in u8 by s8, a scale an output channel.

    The first one, which reads numbers of very different size, and the head multiply in float; their weights are 8-bit.
    keep_float: further nodes to leave in float; `UsageError` for names that are none.
    """
    model = read_graph(graph)
    nodes = list(model.graph)
    names = [str(node.name) for node in nodes]
    for name in keep_float:
        check_known(name, names, "node")
    first, *products, head = [node for node in nodes if node.op_type == "Gemm"]
    # A ReLU that another product reads is what its 8 bits saturate at.
    between = [node for node in nodes if node.op_type == "Relu" and _all_read(node, "Gemm")]
    float_nodes = set(names) - {str(node.name) for node in (*products, *between)} | set(keep_float)
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    quantizer = QDQQuantizer(
        onnx.shape_inference.infer_shapes(proto),
        True,  # per channel
        False,
        QuantType.QInt8,
        QuantType.QUInt8,
        ranges,
        [],
        sorted(float_nodes),
        list(ROUNDED),
        {"WeightSymmetric": True},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    made = ir.from_proto(quantizer.model.model)
    _leave_sums_in_float(made.graph)
    weights_in_8_bits(made.graph, {str(first.name), str(head.name)} - set(keep_float), everywhere=True)
    return compact(made)


def _all_read(node: ir.Node, kind: str) -> bool:
    """Whether every reader of a node is of a kind, and made by one of it."""
    maker = node.inputs[0].producer() if node.inputs[0] is not None else None
    readers = [use.node.op_type for use in node.outputs[0].uses()]
    return maker is not None and maker.op_type == kind and set(readers) == {kind}


def _leave_sums_in_float(graph: ir.Graph) -> None:
    """Products that are added to the map before them give floats: their rounding would be carried on from block to
    block."""
    for node in list(graph):
        if node.op_type != "QuantizeLinear" or node.inputs[0] is None:
            continue
        product = node.inputs[0].producer()
        restored = [use.node for use in node.outputs[0].uses()]
        readers = [use.node for other in restored for use in other.outputs[0].uses()]
        if product is None or product.op_type != "Gemm" or any(reader.op_type == "Gemm" for reader in readers):
            continue
        for other in restored:
            for use in list(other.outputs[0].uses()):
                use.node.replace_input_with(use.idx, product.outputs[0])
        graph.remove([*restored, node], safe=True)


def step_milliseconds(graphs: dict[str, bytes], frames: NDArray[np.float32], *, threads: int = 1) -> dict[str, float]:
    """Median of the rounds' median times of one of some frames (T, V, C), by graph; one thread's processor time."""
    calls = [stepping(Stepper(graph, threads=threads), frames) for graph in graphs.values()]
    times = time_in_turns(calls, SCHEDULE, clock=clock_for(threads))
    return {name: summarise(own).p50 for name, own in zip(graphs, times, strict=True)}
