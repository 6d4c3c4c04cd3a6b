"""What surrounds rounding: targets, the 8-bit form, equalisation, search, training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from last_edge.bundle import Bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.errors import UsageError
from last_edge.export.bundles.sources import golden_points
from last_edge.export.int8.evaluator import Evaluator
from last_edge.export.int8.kernel_form import kernel_form
from last_edge.export.int8.plan import parts_of
from last_edge.export.int8.qat import QatOptions, train_rounded
from last_edge.export.int8.qdq import TARGETS, compact, read_graph, weights_in_8_bits
from last_edge.export.int8.qdq_torch import QdqModule, attributes_of
from last_edge.export.int8.quantize import (
    QuantizeOptions,
    equalise,
    largest_magnitudes,
    prepare,
    quantize_graph,
    relu_pairs,
)
from last_edge.export.int8.recogniser_int8 import search_float, sensitivities
from last_edge.export.onnx.onnx_graph import to_onnx
from last_edge.export.onnx.session import logits_of, open_session
from last_edge.inputs import InputSpec
from last_edge.inputs.features import Inputs
from last_edge.models import create_model
from last_edge.models.landmark_model import LandmarkModel
from last_edge.skeleton import get_layout

MINMAX = QuantizeOptions(method="minmax")


@pytest.fixture(scope="module")
def graph(exported: Path) -> bytes:
    return Bundle.open(exported).graph("fp32")


@pytest.fixture(scope="module")
def points(exported: Path, store: ClipStore) -> Inputs:
    return plain_batch(store, store.select(split="train"), Bundle.open(exported).manifest.input)


@pytest.fixture(scope="module")
def gated(exported: Path) -> bytes:
    """LAST-E: Hardswish, gates, learned graphs."""
    return last_e(exported)


@pytest.fixture(scope="module")
def gated_relu(exported: Path) -> bytes:
    """LAST-E with ReLU."""
    return last_e(exported, act="relu")


def last_e(exported: Path, **options: str) -> bytes:
    """The FP32 graph of a LAST-E whose gates and masks are far from their start."""
    spec = Bundle.open(exported).manifest.input
    torch.manual_seed(2)
    model: LandmarkModel = create_model("last_e_nano", spec=spec, classes=3, **options).eval()
    for name, value in model.named_parameters():
        if name.endswith(("alpha", "edge", "fc.weight", "bn.bias")):
            value.data.add_(0.3 * torch.randn_like(value))
    return to_onnx(model.deployed(), labels=("grab", "swipe", "tap"), name="last_e_nano")


def near(one: NDArray[np.float32], other: NDArray[np.float32], share: float) -> bool:
    return float(np.abs(one - other).max()) <= share * float(np.abs(one).max())


@pytest.mark.parametrize("name", ["graph", "gated"])
def test_the_8_bit_form_computes_the_same(name: str, points: Inputs, request: pytest.FixtureRequest) -> None:
    graph = request.getfixturevalue(name)
    model = read_graph(graph)
    ranges = kernel_form(model)
    made = compact(model)
    assert near(logits_of(graph, points), logits_of(made, points), 1e-5)
    assert ranges and not [node for node in graph_nodes(made, "MatMul") if dims_of(made, node) == (22, 66)]


def graph_nodes(graph: bytes, kind: str) -> list[onnx.NodeProto]:
    return [node for node in onnx.load_from_string(graph).graph.node if node.op_type == kind]


def dims_of(graph: bytes, node: onnx.NodeProto) -> tuple[int, ...]:
    constants = {item.name: tuple(item.dims) for item in onnx.load_from_string(graph).graph.initializer}
    return constants.get(node.input[1], ())


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_has_its_format(gated: bytes, points: Inputs, target: str) -> None:
    made = quantize_graph(gated, points, QuantizeOptions(method="minmax", target=target))
    assert near(logits_of(gated, points), logits_of(made, points), 0.1)
    proto, wanted = onnx.load_from_string(made), TARGETS[target]
    stored = {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}
    zeros = [stored[node.input[2]] for node in graph_nodes(made, "QuantizeLinear")]
    assert {zero.dtype for zero in zeros} == {np.dtype(np.int8 if wanted.signed else np.uint8)}
    assert not wanted.symmetric or not any(zero.any() for zero in zeros)
    restored = [stored[node.input[0]] for node in graph_nodes(made, "DequantizeLinear") if node.input[0] in stored]
    assert wanted.quantize_bias == any(value.dtype == np.int32 for value in restored)
    weights = [value for value in restored if value.ndim == 4 and value.shape[2:] != (1, 1)]
    largest = max(int(np.abs(value.astype(np.int32)).max()) for value in weights)
    assert largest <= 64 if wanted.seven_bit_weights else largest == 127
    assert bool(graph_nodes(made, "HardSwish")) != wanted.kernel_form


@pytest.mark.parametrize("name", ["gated", "gated_relu"])
def test_gates_keep_float_arithmetic_and_8_bit_weights(
    name: str, points: Inputs, request: pytest.FixtureRequest
) -> None:
    made = quantize_graph(request.getfixturevalue(name), points, MINMAX)
    stored = {item.name: numpy_helper.to_array(item) for item in onnx.load_from_string(made).graph.initializer}
    makers = {output: node for node in onnx.load_from_string(made).graph.node for output in node.output}
    gates = [*graph_nodes(made, "Gemm")[:-1], *(node for node in graph_nodes(made, "MatMul") if narrow(makers, node))]
    assert len(gates) == 6 + 12
    for node in gates:
        scaled = makers[node.input[1]]
        cast = makers[scaled.input[0]]
        assert (scaled.op_type, cast.op_type) == ("Mul", "Cast") and stored[cast.input[0]].dtype == np.int8
        assert node.input[0] not in makers or makers[node.input[0]].op_type != "DequantizeLinear"


def narrow(makers: dict[str, onnx.NodeProto], node: onnx.NodeProto) -> bool:
    """Whether a product is with weights that are restored from 8 bits, and leads to a gate's activation."""
    weight = makers.get(node.input[1])
    return weight is not None and weight.op_type == "Mul" and makers[weight.input[0]].op_type == "Cast"


def test_a_gate_unpacks_its_map_once_and_reads_it_channels_last(gated: bytes, points: Inputs) -> None:
    made = onnx.load_from_string(quantize_graph(gated, points, MINMAX)).graph
    makers = {output: node for node in made.node for output in node.output}
    readers = {name: [node for node in made.node if name in node.input] for name in makers}
    sums = [node.output[0] for node in made.node if node.op_type == "Add"]
    maps = [node for node in made.node if node.op_type == "Transpose" and node.input[0] in sums]
    maps = [node for node in maps if all(reader.op_type != "QuantizeLinear" for reader in readers[node.output[0]])]
    assert len(maps) == 3
    for node in maps:
        total = makers[node.input[0]]
        assert readers[total.output[0]] == [node] and list(attributes_of(node)["perm"]) == [0, 2, 3, 1]
        assert {makers[name].op_type for name in total.input} == {"DequantizeLinear"}
        assert sorted(reader.op_type for reader in readers[node.output[0]]) == ["MatMul", "Mul", "Reshape"]


def test_equalising_keeps_the_function_and_evens_the_channels(graph: bytes, points: Inputs) -> None:
    made = equalise(graph, points)
    assert near(logits_of(graph, points), logits_of(made, points), 1e-4) and made != graph
    pairs = relu_pairs(read_graph(graph))
    depthwise = [pair.between for pair in pairs if pair.second.attributes.get_int("group", 1) > 1]
    assert len(depthwise) == 3
    for name in depthwise:
        before, after = (largest_magnitudes(g, [name], points)[name] for g in (graph, made))
        used = before > 0.01 * before.max()
        assert np.ptp(np.log(after[used])) < 0.5 * np.ptp(np.log(before[used]))


def test_equalising_is_left_out_or_refused_where_it_would_do_nothing(
    graph: bytes, gated: bytes, points: Inputs
) -> None:
    made = [prepare(each, points, QuantizeOptions("minmax", equalise=None)) for each in (graph, gated)]
    assert [each.options.equalise for each in made] == [True, False]
    with pytest.raises(UsageError, match=r"nothing to equalise"):
        prepare(gated, points, QuantizeOptions("minmax", equalise=True))


@pytest.fixture(scope="module")
def evaluator(graph: bytes, exported: Path, store: ClipStore) -> Evaluator:
    parts = parts_of(store, count=12, seed=0)
    points = plain_batch(store, parts.judging, Bundle.open(exported).manifest.input)
    return Evaluator(graph, points, store.index.label[parts.judging])


def test_those_who_judge_had_no_part_in_calibrating(store: ClipStore) -> None:
    parts = parts_of(store, count=12, seed=0)
    who = {name: set(store.index.subject[getattr(parts, name)]) for name in ("calibration", "learning", "judging")}
    assert parts.subjects and who["judging"] == set(parts.subjects) and not who["judging"] & who["learning"]
    assert who["calibration"] <= who["learning"] and len(parts.calibration) == 12
    everyone = np.concatenate([parts.learning, parts.judging])
    assert set(store.index.split[everyone]) == {"train"}


def test_the_search_keeps_what_helps_within_the_budget(graph: bytes, points: Inputs, evaluator: Evaluator) -> None:
    prepared = prepare(graph, points, MINMAX)
    table = sensitivities(prepared, evaluator)
    assert [one.error for one in table] == sorted((one.error for one in table), reverse=True) and len(table) == 26
    kept, trials = search_float(prepared, evaluator, table[:12], budget=1e9)
    assert kept and [row["node"] for row in trials] == [one.name for one in table[:12]]
    assert evaluator(prepared.rounded(keep_float=kept)).error < evaluator(prepared.rounded()).error
    assert search_float(prepared, evaluator, table[:3], budget=0.0)[0] == ()
    assert search_float(prepared, evaluator, table[:3], budget=1e9, most_bytes=len(prepared.rounded()))[0] == ()


@pytest.mark.parametrize("name", ["graph", "gated"])
def test_the_trained_module_is_the_file(name: str, points: Inputs, request: pytest.FixtureRequest) -> None:
    made = quantize_graph(request.getfixturevalue(name), points, MINMAX)
    module = QdqModule(made)
    got = module(torch.from_numpy(points["landmarks"]))
    assert np.median(np.abs(logits_of(made, points) - got.detach().numpy())) < 1e-5, "but where a tie rounds otherwise"
    assert near(logits_of(made, points), got.detach().numpy(), 0.05)
    assert np.array_equal(logits_of(module.to_bytes(), points), logits_of(made, points))
    got.square().sum().backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in module.parameters())


def test_training_brings_rounded_answers_nearer_to_float(
    graph: bytes, points: Inputs, evaluator: Evaluator, exported: Path, store: ClipStore
) -> None:
    made = quantize_graph(graph, points, QuantizeOptions(method="percentile", percentile=99.5))
    clips, spec = store.select(split="train"), Bundle.open(exported).manifest.input
    options = QatOptions(epochs=8, batch_size=8, lr=2e-3, labels=0.0)
    trained, rows = train_rounded(made, graph, evaluator, store=store, clips=clips, spec=spec, options=options)
    assert [row["epoch"] for row in rows] == list(range(9))
    assert evaluator(trained).error < evaluator(made).error
    assert [node.op_type for node in onnx.load_from_string(trained).graph.node] == [
        node.op_type for node in onnx.load_from_string(made).graph.node
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_of_tokens_the_products_with_weights_alone_are_rounded(target: str) -> None:
    torch.manual_seed(0)
    spec = InputSpec(get_layout("mediapipe_hand21"), frames=8)
    model = create_model("pose_transformer_small", spec=spec, classes=5).eval()
    torch.nn.init.normal_(model.body.head.fc.weight)  # type: ignore[union-attr, arg-type]
    graph = to_onnx(model.deployed(), labels=tuple("abcde"), name="pose_transformer_small")
    clips = np.concatenate([golden_points(spec, seed=seed)[:1] for seed in range(40)])
    clips[35:, 4:] = np.nan  # masked scores of -10,000 come late, when the histograms have begun
    inputs = {"landmarks": clips}
    made = quantize_graph(graph, inputs, QuantizeOptions("entropy", target=target))
    proto, expected = onnx.load_from_string(made), logits_of(graph, inputs)
    makers = {name: node.op_type for node in proto.graph.node for name in node.output}
    rounded = {node.op_type for node in proto.graph.node if "DequantizeLinear" in map(makers.get, node.input)}
    assert "MatMul" in rounded and rounded <= {"MatMul", "Conv"} and len(made) < 0.4 * len(graph)
    assert near(expected, logits_of(made, inputs), 0.05)
    module = QdqModule(made)
    assert near(logits_of(made, inputs), module(torch.from_numpy(clips)).detach().numpy(), 0.05)


@pytest.mark.parametrize("explicit", [False, True])
def test_a_weight_that_two_nodes_read_is_stored_once(explicit: bool) -> None:
    weight = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    given = {"w": weight, "scale": np.float32(0.1), "zero": np.int8(0)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "q"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["rounded"], "dq"),
        helper.make_node("MatMul", ["rounded", "w"], ["once"], "first"),
        helper.make_node("MatMul", ["once", "w"], ["twice"], "second"),
        helper.make_node("QuantizeLinear", ["twice", "scale", "zero"], ["q2"], "q2"),
        helper.make_node("DequantizeLinear", ["q2", "scale", "zero"], ["y"], "dq2"),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 8]) for name in "xy"]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in given.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model = ir.from_proto(proto)
    weights_in_8_bits(model.graph, {"first", "second"}, explicit=explicit)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    names = [item.name for item in proto.graph.initializer]
    assert len(names) == len(set(names)) == 4 and "w" not in names
    session = open_session(proto.SerializeToString())
    x = np.linspace(-1, 1, 8, dtype=np.float32)[None]
    expected = np.rint(x / np.float32(0.1)) * np.float32(0.1) @ weight @ weight
    np.testing.assert_allclose(session.run(["y"], {"x": x})[0], expected, atol=0.3)


@pytest.mark.parametrize(("classes", "stored"), [(60, np.float32), (2048, np.int8)])
def test_a_head_that_is_most_of_the_file_is_stored_in_8_bits(classes: int, stored: type) -> None:
    weight = np.random.default_rng(0).normal(size=(8, classes)).astype(np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "q"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["rounded"], "dq"),
        helper.make_node("MatMul", ["rounded", "w"], ["y"], "head"),
    ]
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size])
        for name, size in (("x", 8), ("y", classes))
    ]
    given = {"w": weight, "scale": np.float32(0.1), "zero": np.int8(0)}
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in given.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model = ir.from_proto(proto)
    weights_in_8_bits(model.graph, {"head"})
    proto = ir.to_proto(model)
    large = max(proto.graph.initializer, key=lambda constant: int(np.prod(constant.dims)))
    assert numpy_helper.to_array(large).dtype == stored
    x = np.linspace(-1, 1, 8, dtype=np.float32)[None]
    expected = np.rint(x / np.float32(0.1)) * np.float32(0.1) @ weight
    np.testing.assert_allclose(open_session(proto.SerializeToString()).run(["y"], {"x": x})[0], expected, atol=0.1)
