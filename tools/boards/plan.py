"""What a frame costs on a board, by counts: the table of docs/boards.md. Times are estimates until somebody measures.

python -m last_edge.tools.boards.plan last_lite_nano_shrec14 last_e_nano_utd27

A core's work in a cycle is meant to be that of Arm's software optimisation guides, from memory and not looked up: FMLA
on 128 bits once a cycle on Cortex-A72, twice on A76 and A78; SMULL of eight products once on A72; SDOT of sixteen twice
on A76 and A78. Of that a kernel reaches SHARE: XNNPACK's own page gives MobileNet v2 (300 M multiply-adds) 55 ms on one
core of a Pixel 3a, for which 2 GHz and eight a cycle are assumed, which is 0.34. Clocks, bandwidths and what a node
costs whatever it computes, NODE_US at 1 GHz, are guesses.
"""

import sys
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from last_edge.bundle import Bundle
from last_edge.bundle.zoo import find_bundle
from last_edge.errors import LastEdgeError
from last_edge.runtime.landmarks.models import MODELS, model_path
from last_edge.tools.output import markdown

SHARE, NODE_US = 0.34, 4.0
QUANTISERS = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Core:
    """ghz: of the usual board. fp32, int8: multiply-adds a cycle. gb_s: memory bandwidth of one core."""

    name: str
    ghz: float
    fp32: int
    int8: int
    gb_s: float


CORES = (
    Core("A72, Pi 4", 1.8, 4, 8, 3.0),
    Core("A76, Pi 5", 2.4, 8, 32, 8.0),
    Core("A78, Orin Nano", 1.5, 8, 32, 8.0),
)


@dataclass(frozen=True)
class Cost:
    """Of one call. macs: multiply-adds. weights, values: bytes of constants and of what nodes give one another.

    nodes: operators that run. precision: `fp32` or `int8`.
    """

    name: str
    precision: str
    macs: int
    weights: int
    values: int
    nodes: int

    def milliseconds(self, core: Core) -> float:
        """Estimated, on one core: the slower of arithmetic and memory, and the nodes' fixed cost."""
        cycles = self.macs / ((core.int8 if self.precision == "int8" else core.fp32) * SHARE)
        moved = (self.weights + 2 * self.values) / (core.gb_s * 1e6)
        return max(cycles / (core.ghz * 1e6), moved) + self.nodes * NODE_US / 1000 / core.ghz


def onnx_cost(name: str, precision: str, graph: bytes) -> Cost:
    """Of a bundle's graph for one clip."""
    import onnx

    proto = onnx.load_from_string(graph)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    shapes = {value.name: tuple(value.dims) for value in inferred.initializer}
    for value in (*inferred.value_info, *inferred.input, *inferred.output):
        shapes[value.name] = tuple(max(dim.dim_value, 1) for dim in value.type.tensor_type.shape.dim)
    macs = values = 0
    nodes = [node for node in inferred.node if node.op_type not in QUANTISERS]
    for node in inferred.node:
        shape = shapes.get(node.output[0], ())
        if node.op_type not in QUANTISERS:
            values += prod(shape) * (1 if precision == "int8" else 4)
        if node.op_type == "Conv":
            macs += prod(shape) * prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            macs += prod(shape) * shapes[node.input[0]][-1]
    weights = sum(len(value.raw_data) or 4 * prod(value.dims) for value in inferred.initializer)
    return Cost(name, precision, macs, weights, values, len(nodes))


def tflite_cost(name: str, content: bytes) -> Cost:
    """Of a landmark model for one image; its weights are float16 or float32, its arithmetic float32."""
    from ai_edge_litert.interpreter import Interpreter

    from last_edge.runtime.landmarks.source import quiet_native_logs

    with quiet_native_logs():
        interpreter: Any = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    shapes = {tensor["index"]: tuple(map(int, tensor["shape"])) for tensor in interpreter.get_tensor_details()}
    macs = values = nodes = 0
    for operator in interpreter._get_ops_details():  # the one place where LiteRT names its operators
        kind, inputs = operator["op_name"], [int(place) for place in operator["inputs"]]
        if kind in ("DELEGATE", "DEQUANTIZE"):
            continue
        shape = shapes[int(operator["outputs"][0])]
        nodes, values = nodes + 1, values + 4 * prod(shape)
        if kind in ("CONV_2D", "FULLY_CONNECTED"):
            macs += prod(shape) * prod(shapes[inputs[1]][1:])
        elif kind == "DEPTHWISE_CONV_2D":
            macs += prod(shape) * prod(shapes[inputs[1]][1:3])
    return Cost(name, "fp32", macs, len(content), values, nodes)


def costs(bundles: Sequence[str], models: Iterable[str]) -> list[Cost]:
    """Every graph of the bundles, and every network of the landmark models that are on this machine."""
    found = []
    for name in models:
        try:
            path = model_path(name)
        except LastEdgeError:
            continue
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.namelist() if member.endswith(".tflite")]
            found += [tflite_cost(f"{name}: {Path(member).stem}", archive.read(member)) for member in members]
    for text in bundles:
        bundle = Bundle.open(find_bundle(text))
        found += [onnx_cost(text, precision, bundle.graph(precision)) for precision in ("fp32", "int8")]
    return found


def table(found: Sequence[Cost]) -> str:
    """A row a graph, as Markdown."""
    columns: dict[str, list[Any]] = {
        "graph": [cost.name for cost in found],
        "": [cost.precision for cost in found],
        "multiply-adds, M": [f"{cost.macs / 1e6:.1f}" for cost in found],
        "weights, KB": [f"{cost.weights / 1e3:.0f}" for cost in found],
        "values moved, KB": [f"{cost.values / 1e3:.0f}" for cost in found],
        "nodes": [cost.nodes for cost in found],
    }
    for core in CORES:
        columns[f"{core.name}, est. ms"] = [f"{cost.milliseconds(core):.1f}" for cost in found]
    return markdown(columns)


if __name__ == "__main__":
    sys.stdout.write(table(costs(sys.argv[1:], [name for name in MODELS if name != "holistic"])) + "\n")
