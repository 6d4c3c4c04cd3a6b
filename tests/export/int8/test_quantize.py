"""Static INT8: where Q and DQ stand, what stays float, which clips find the ranges."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from last_edge.bundle import Bundle, write_bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.errors import InputError, UsageError
from last_edge.export.int8.plan import Plan, calibration_clips
from last_edge.export.int8.qdq import float_nodes, read_graph
from last_edge.export.int8.quantize import QuantizeOptions, quantize_graph
from last_edge.export.int8.quantize_bundle import quantize_bundle
from last_edge.export.onnx.session import logits_of


@pytest.fixture(scope="module")
def graph(exported: Path) -> bytes:
    return Bundle.open(exported).graph("fp32")


@pytest.fixture(scope="module")
def proto(quantized: Path) -> onnx.ModelProto:
    return onnx.load_from_string(Bundle.open(quantized).graph("int8"))


def restored_by(proto: onnx.ModelProto, node: onnx.NodeProto) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """What restores a convolution's map and its weight."""
    made_by = {output: other for other in proto.graph.node for output in other.output}
    return made_by[node.input[0]], made_by[node.input[1]]


def test_every_convolution_reads_u8_maps_and_s8_weights_a_channel(proto: onnx.ModelProto) -> None:
    constants = {initializer.name: initializer for initializer in proto.graph.initializer}
    convolutions = [node for node in proto.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 17 + 3, "a product with the graphs is a convolution over joints"
    for node in convolutions:
        activation, weight = restored_by(proto, node)
        assert activation.op_type == weight.op_type == "DequantizeLinear"
        stored = constants[weight.input[0]]
        assert stored.data_type == onnx.TensorProto.INT8
        assert list(constants[weight.input[1]].dims) == [stored.dims[0]]
        assert constants[activation.input[2]].data_type == onnx.TensorProto.UINT8


def test_products_over_joints_are_padded_to_a_multiple_of_four(proto: onnx.ModelProto) -> None:
    constants = {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}
    weights = [constants[restored_by(proto, node)[1].input[0]] for node in proto.graph.node if node.op_type == "Conv"]
    over_joints = [weight[..., 0, 0] for weight in weights if weight.shape == (72, 24, 1, 1)]
    assert len(over_joints) == 3
    for weight in over_joints:
        assert not weight[:, 22:].any() and not weight.reshape(3, 24, 24)[:, 22:].any()


def test_the_front_and_the_first_convolution_stay_float(proto: onnx.ModelProto) -> None:
    kinds = [node.op_type for node in proto.graph.node if "Dequantize" not in node.op_type]
    first = kinds.index("QuantizeLinear")
    assert kinds[:first].count("MatMul") == 1
    assert {"IsNaN", "Where"} <= set(kinds[:first])
    assert not {"IsNaN", "Where"} & set(kinds[first:])


def test_it_is_small_and_close(graph: bytes, quantized: Path, store: ClipStore) -> None:
    bundle = Bundle.open(quantized)
    assert len(bundle.graph("int8")) < 0.5 * len(graph)
    points = plain_batch(store, store.select(split="test"), bundle.manifest.input)
    expected, got = logits_of(graph, points), logits_of(bundle.graph("int8"), points)
    assert np.abs(expected - got).max() < 0.1 * np.abs(expected).max()
    assert np.abs(expected - got).max() > 0


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_every_method_is_repeatable_and_silent(
    graph: bytes, store: ClipStore, quantized: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    points = plain_batch(store, np.arange(6), Bundle.open(quantized).manifest.input)
    options = QuantizeOptions(method=method)  # type: ignore[arg-type]
    once = quantize_graph(graph, points, options)
    assert once == quantize_graph(graph, points, options)
    assert np.isfinite(logits_of(once, points)).all()
    assert capsys.readouterr().out == ""


def test_a_named_node_stays_float(graph: bytes) -> None:
    model = read_graph(graph)
    last = [node.name for node in model.graph if node.op_type == "Conv"][-1]
    assert last not in float_nodes(model)
    assert last in float_nodes(model, keep_float=[last])
    with pytest.raises(UsageError, match=r"unknown node 'Conv_x'(.|\n)*Conv_"):
        float_nodes(model, keep_float=["Conv_x"])


def test_calibration_clips_come_evenly_from_train(store: ClipStore) -> None:
    chosen = calibration_clips(store, count=12, seed=0)
    assert set(store.index.split[chosen]) == {"train"}
    assert np.bincount(store.index.label[chosen]).tolist() == [4, 4, 4]
    assert len(set(chosen.tolist())) == 12
    np.testing.assert_array_equal(chosen, calibration_clips(store, count=12, seed=0))
    assert not np.array_equal(chosen, calibration_clips(store, count=12, seed=1))
    assert len(calibration_clips(store, count=1000, seed=0)) == 24


def test_no_calibration_clips_is_an_error(graph: bytes) -> None:
    with pytest.raises(InputError, match="no calibration clips"):
        quantize_graph(graph, {"landmarks": np.zeros((0, 16, 22, 3), np.float32)})


def test_what_was_built_from_the_former_graph_goes(quantized: Path, store: ClipStore, tmp_path: Path) -> None:
    bundle = Bundle.open(quantized)
    engines = {f"{name}.engine": {"source": f"model.{name}.onnx"} for name in ("int8", "fp32")}
    tuned = {name: {"threads": 1} for name in ("int8", "fp32")}
    files = {name: bundle.read(name) for name in bundle.manifest.files} | dict.fromkeys(engines, b"plan")
    path = tmp_path / "b.last"
    write_bundle(path, dataclasses.replace(bundle.manifest, engines=engines, tuned=tuned), files=files)
    made = quantize_bundle(path, store, Plan(QuantizeOptions(method="minmax"), count=6), force=True).manifest
    assert set(made.engines) == {"fp32.engine"} and set(made.tuned) == {"fp32"}
    assert "int8.engine" not in Bundle.open(path).contents and "fp32.engine" in made.files
