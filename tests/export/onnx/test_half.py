"""A graph in float16: what is rounded, what stays, and that its answers are the FP32 graph's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from last_edge.bundle import Bundle
from last_edge.errors import GateError, InputError
from last_edge.export.targets.tensorrt import to_half
from last_edge.runtime.backends import OnnxRuntimeCpu

ZOO = Path(__file__).parents[3] / "zoo"
NAMES = sorted(path.name for path in ZOO.iterdir() if Bundle.open(path).manifest.stream is None)


def two_layers(weight: float = 2.0, *, layer: str = "MatMul") -> bytes:
    """logits = (landmarks - 1000) @ weight + 1."""
    stored = {"far": np.float32([1000]), "weight": np.full((2, 2), weight, np.float32), "one": np.float32([1])}
    nodes = [
        helper.make_node("Sub", ["landmarks", "far"], ["near"], "centre"),
        helper.make_node(layer, ["near", "weight"], ["product"], "layer"),
        helper.make_node("Add", ["product", "one"], ["logits"], "bias"),
    ]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("landmarks", "logits")]
    constants = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], constants)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString())


def types_of(graph: bytes) -> dict[str, int]:
    """The element type of each value and constant, by name."""
    inferred = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph), strict_mode=True).graph
    values = {
        value.name: value.type.tensor_type.elem_type
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    return values | {value.name: value.data_type for value in inferred.initializer}


def test_raw_points_and_the_doors_stay_float32() -> None:
    types = types_of(to_half(two_layers(), where="g"))
    half, single = TensorProto.FLOAT16, TensorProto.FLOAT
    assert {types[name] for name in ("landmarks", "far", "near", "logits")} == {single}
    assert {types[name] for name in ("near_half", "weight_half", "product", "one_half", "logits_half")} == {half}
    assert "weight" not in types  # what nobody reads any more is gone


def test_points_far_from_the_origin_lose_nothing_before_the_first_layer() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(to_half(two_layers(), where="g"))
    points = np.float32([[1000.25, 1000.0]])  # float16 knows halves there, no quarters
    np.testing.assert_allclose(session.run(["logits"], {"landmarks": points})[0], [[1.5, 1.5]])


def test_what_has_no_form_in_float16_is_refused() -> None:
    with pytest.raises(GateError, match="too large for float16") as caught:
        to_half(two_layers(1e5), where="g")
    assert caught.value.where == "g › weight"
    with pytest.raises(InputError, match="no layer with weights"):
        to_half(two_layers(layer="Mul"), where="g")
    with pytest.raises(InputError, match="8 bits"):
        to_half(Bundle.open(ZOO / NAMES[0]).graph("int8"), where="g")


@pytest.mark.parametrize("name", NAMES)
def test_each_bundle_of_the_zoo_answers_the_same_at_half_the_size(name: str) -> None:
    bundle = Bundle.open(ZOO / name)
    graph, golden = bundle.graph("fp32"), bundle.golden
    half = to_half(graph, where=name)
    got, expected = OnnxRuntimeCpu(half).run(golden.inputs), golden.logits["fp32"]
    assert np.abs(got - expected).max() < 0.01 * np.abs(expected).max()
    assert (got.argmax(1) == expected.argmax(1)).all()
    assert len(half) < 0.6 * len(graph)
