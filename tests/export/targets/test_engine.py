"""What TensorRT asks of a graph, and engines as files of a bundle. TensorRT itself is a stand-in or for RTX."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from last_edge.bundle import Bundle, write_bundle
from last_edge.errors import GateError, InputError, MissingError, UsageError
from last_edge.export.int8.quantize import QuantizeOptions, quantize_graph
from last_edge.export.proof.verify import verify_bundle
from last_edge.export.targets import tensorrt
from last_edge.export.targets.tensorrt import build_engine, parser_faults, plan_engine, require_fit, trtexec, violations
from last_edge.runtime.backends import BACKENDS, tensorrt_engine
from last_edge.runtime.backends.tensorrt_engine import TensorRT, TensorRTForRTX
from last_edge.runtime.recognise.model import artefact_of, load_graph, usual_precision
from last_edge.tools.cli import main

ZOO = Path(__file__).parents[3] / "zoo" / "last_lite_nano_shrec14"
GATED = ZOO.parent / "last_e_nano_shrec14"
RULES = "last_edge.export.targets.tensorrt.PARSERS"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ZOO, tmp_path / "b"))


def quantised(**changes: Any) -> bytes:
    """Conv with s8 Q/DQ around its input and weights and a float bias; `changes` break one rule each."""
    parts = {
        "zero": np.int8(0), "weight_zero": np.zeros(2, np.int8), "weights": np.ones((2, 1, 1, 1), np.int8),
        "bias": np.ones(2, np.float32), "scale": np.float32(0.1), "equation": "nctv->nvtc", "opset": 20,
        "reads": "quantised", "domain": "",
    } | changes  # fmt: skip
    constants = {name: np.asarray(parts[name]) for name in ("zero", "weight_zero", "weights", "scale", "bias")}
    constants["scales"] = np.full(2, 0.1, np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["landmarks", "scale", "zero"], ["quantised"], "q"),
        helper.make_node("DequantizeLinear", ["quantised", "scale", "zero"], ["x"], "dq"),
        helper.make_node("DequantizeLinear", ["weights", "scales", "weight_zero"], ["w"], "dqw", axis=0),
    ]
    bias = "bias"
    if constants["bias"].dtype == np.int32:
        bias = "float_bias"
        nodes.append(helper.make_node("DequantizeLinear", ["bias", "scales"], [bias], "dqb", axis=0))
    nodes += [
        helper.make_node("Conv", ["x", "w", bias], ["y"], "conv", domain=parts["domain"]),
        helper.make_node("Cast", [parts["reads"]], ["z"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Einsum", ["y"], ["logits"], "einsum", equation=parts["equation"]),
    ]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("landmarks", "logits")]
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], stored)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", parts["opset"])]).SerializeToString())


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, {"q": "Q followed by DQ alone"}),
        ({"reads": "x"}, {}),
        ({"reads": "x", "bias": np.ones(2, np.int32)}, {"dqb": "a float bias"}),
        ({"reads": "x", "zero": np.int8(3)}, {"q": "zero points of 0", "dq": "zero points of 0"}),
        ({"reads": "x", "zero": np.uint8(0)}, {"q": "s8 activations", "dq": "s8 activations"}),
        ({"reads": "x", "weights": np.ones((2, 1, 1, 1), np.uint8)}, {"dqw": "s8 constants"}),
        ({"reads": "x", "scale": np.float32(0)}, {"q": "constant positive scales", "dq": "constant positive scales"}),
        ({"reads": "x", "scale": np.full(2, 0.1, np.float32)},
         {"q": "one scale for an activation", "dq": "one scale for an activation"}),
        ({"reads": "weights"}, {"cast": "s8 constants read by DequantizeLinear alone"}),
        ({"reads": "x", "equation": "n...->n..."}, {"einsum": "Einsum without ellipsis or diagonal"}),
        ({"reads": "x", "equation": "nctt->nct"}, {"einsum": "Einsum without ellipsis or diagonal"}),
        ({"reads": "x", "opset": 26}, {"": "opset 9 to 25"}),
        ({"reads": "x", "domain": "com.microsoft"}, {"conv": "operators of ONNX alone"}),
    ],
)  # fmt: skip
def test_each_rule_is_checked(change: dict[str, Any], broken: dict[str, str]) -> None:
    assert {fault.node: fault.rule for fault in violations(quantised(**change))} == broken


def test_integer_operators_are_refused() -> None:
    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"], "product")
    info = [helper.make_tensor_value_info(name, TensorProto.INT8, [1, 1]) for name in "ab"]
    out = helper.make_tensor_value_info("c", TensorProto.INT32, [1, 1])
    model = helper.make_model(helper.make_graph([node], "g", info, [out]), opset_imports=[helper.make_opsetid("", 20)])
    assert [fault.rule for fault in violations(model.SerializeToString())] == [
        "8 bits as explicit Q/DQ pairs, no integer operators"
    ]


def test_without_a_parser_the_rules_alone_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RULES, ())
    graphs = Bundle.open(ZOO)
    assert parser_faults(graphs.graph("fp32")) is None
    assert require_fit(graphs.graph("fp32"), where=ZOO) == "operator rules"
    with pytest.raises(GateError, match=r"DequantizeLinear_\d+: a float bias(.|\n)*--target tensorrt"):
        require_fit(graphs.graph("int8"), where=ZOO)


class FakeBuilder:
    """Records what it is asked; the engine is the word "plan"."""

    def __init__(self, logger: object) -> None:
        self.asked: dict[str, Any] = {}
        FakeBuilder.last = self

    def create_network(self, flags: int) -> str:
        self.asked["flags"] = flags
        return "network"

    def create_builder_config(self) -> SimpleNamespace:
        return SimpleNamespace(
            add_optimization_profile=lambda profile: None,
            create_timing_cache=lambda content: content,
            set_timing_cache=lambda cache, ignore: self.asked.update(cache=(cache, ignore)),
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: b"timings"),
        )

    def create_optimization_profile(self) -> SimpleNamespace:
        return SimpleNamespace(set_shape=lambda *given: self.asked.update(shapes=given))

    def build_serialized_network(self, network: str, config: object) -> bytes:
        return b"plan"


@pytest.fixture
def fake_tensorrt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`tensorrt` and a GPU, as far as building goes."""
    module = ModuleType("tensorrt")
    module.__spec__ = ModuleSpec("tensorrt", None)
    logger = type("Logger", (), {"ERROR": 1, "INTERNAL_ERROR": 0, "__init__": lambda self, level: None})
    parser = type("P", (), {"num_errors": 0, "__init__": lambda self, *_: None, "parse": lambda self, content: True})
    flags = SimpleNamespace(STRONGLY_TYPED=1)
    module.__dict__.update(Logger=logger, Builder=FakeBuilder, OnnxParser=parser, NetworkDefinitionCreationFlag=flags,
                           __version__="11.4.0")  # fmt: skip
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr(TensorRT, "why_not", classmethod(lambda cls: ""))
    monkeypatch.setattr(TensorRT, "version", classmethod(lambda cls: "11.4.0"))
    monkeypatch.setattr(tensorrt, "gpu_name", lambda: "Orin")
    monkeypatch.setenv("LAST_EDGE_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("fake_tensorrt")
def test_a_built_engine_is_a_file_of_the_bundle_that_says_what_it_is(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["engine", str(bundle), "--max-batch", "8", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["engine"], said["built"], said["bytes"]) == ("tensorrt.fp32.engine", True, 4)
    asked = FakeBuilder.last.asked
    assert asked["flags"] == 2 and asked["cache"] == (b"", False), "strongly typed, no timings of another machine"
    assert asked["shapes"] == ("landmarks", (1, 64, 22, 3), (1, 64, 22, 3), (8, 64, 22, 3))
    opened = Bundle.open(bundle)
    assert opened.read("tensorrt.fp32.engine") == b"plan"
    built = opened.manifest.engines["tensorrt.fp32.engine"]
    assert (built["gpu"], built["version"], built["source"]) == ("Orin", "11.4.0", "model.fp32.onnx")
    assert built["source_sha256"] == opened.manifest.files["model.fp32.onnx"]
    assert main(["verify", str(bundle)]) == 0, capsys.readouterr()
    assert main(["engine", str(bundle)]) == 2, "not built twice without --force"
    build_engine(plan_engine(bundle, flavour="tensorrt", force=True))
    assert FakeBuilder.last.asked["cache"] == (b"timings", False), "kernels timed before are not timed again"


def test_without_a_gpu_it_prints_what_to_type_and_ends_in_exit_5(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if TensorRT.is_available():
        pytest.skip("TensorRT and a GPU are here")
    before = (bundle / "manifest.json").read_bytes()
    assert main(["engine", str(bundle)]) == 5
    said = capsys.readouterr()
    assert "trtexec --onnx=model.fp32.onnx --saveEngine=tensorrt.fp32.engine" in said.out
    assert f"last-edge engine {bundle} --flavour tensorrt --precision fp32" in said.out
    assert "--maxShapes=landmarks:16x64x22x3" in said.out and "cannot build this engine here" in said.err
    assert main(["engine", str(bundle), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["built"] is False
    assert (bundle / "manifest.json").read_bytes() == before


def test_a_graph_that_tensorrt_would_not_take_fails_the_gate(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = Bundle.open(bundle)
    files = {name: opened.read(name) for name in opened.manifest.files}
    write_bundle(bundle, opened.manifest, files={**files, "model.int8-tensorrt.onnx": opened.graph("int8")}, force=True)
    assert main(["engine", str(bundle), "--precision", "int8"]) == 4
    assert "a float bias" in capsys.readouterr().err


@pytest.mark.skipif(bool(tensorrt.why_not(TensorRTForRTX)), reason=tensorrt.why_not(TensorRTForRTX))
def test_rtx_builds_ahead_of_time_and_its_parser_agrees_with_the_rules(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RULES, ("tensorrt_rtx",))
    opened = Bundle.open(bundle)
    assert parser_faults(opened.graph("fp32")) == []
    assert parser_faults(opened.graph("int8")) and violations(opened.graph("int8"))
    plan = plan_engine(bundle, flavour="tensorrt-rtx")
    assert plan.checked == "operator rules and TensorRT's parser" and trtexec(plan).startswith("tensorrt_rtx --onnx=")
    manifest = build_engine(plan)
    built = manifest.engines["tensorrt-rtx.fp32.engine"]
    assert built["gpu"] == "any RTX card" and built["version"] == BACKENDS["tensorrt-rtx"].version()
    assert len(Bundle.open(bundle).read("tensorrt-rtx.fp32.engine")) > 100_000
    with pytest.raises(UsageError, match="the bundle has this engine"):
        plan_engine(bundle, flavour="tensorrt-rtx")


def gated() -> bytes:
    """LAST-E's graph, whose gates' weights are stored in 8 bits, in TensorRT's format."""
    bundle = Bundle.open(GATED)
    points = np.random.default_rng(0).normal(size=(4, *bundle.manifest.input.shape)).astype(np.float32)
    return quantize_graph(
        bundle.graph("fp32"), {"landmarks": points}, QuantizeOptions(method="minmax", target="tensorrt")
    )


def test_what_gates_keep_in_8_bits_breaks_no_rule_of_tensorrt() -> None:
    graph = gated()
    assert violations(graph) == []
    assert len(graph) < 1.5 * Bundle.open(GATED).manifest.model.params + 25_000


@pytest.mark.skipif(bool(tensorrt.why_not(TensorRTForRTX)), reason=tensorrt.why_not(TensorRTForRTX))
def test_rtx_builds_an_engine_of_gates_with_weights_in_8_bits() -> None:
    bundle = Bundle.open(GATED)
    one, most = ((clips, *bundle.manifest.input.shape) for clips in (1, 4))
    plan = SimpleNamespace(backend=TensorRTForRTX, graph=gated(), shapes=(one, one, most), bundle=bundle)
    assert len(tensorrt._build(plan)) > 100_000  # type: ignore[arg-type]


def test_rtx_absent_is_exit_5(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "has_module", lambda name: False)
    monkeypatch.setattr(RULES, ())
    with pytest.raises(MissingError, match="tensorrt-rtx is not installed"):
        build_engine(plan_engine(bundle, flavour="tensorrt-rtx"))


@pytest.mark.usefixtures("fake_tensorrt")
@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"version": "10.3"}, "another version"),
        ({"gpu": "H200"}, "another GPU"),
        ({"source_sha256": "0" * 64}, "another graph"),
    ],
)
def test_an_engine_that_is_not_of_this_device_or_graph_names_the_command_that_builds_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], what: str
) -> None:
    monkeypatch.setattr(tensorrt_engine, "gpu_name", lambda: "Orin")
    build_engine(plan_engine(bundle, flavour="tensorrt"))
    opened = Bundle.open(bundle)
    assert artefact_of(opened, TensorRT, "fp32") == b"plan"
    name = "tensorrt.fp32.engine"
    engines = {name: {**opened.manifest.engines[name], **changed}}
    other = dataclasses.replace(opened, manifest=dataclasses.replace(opened.manifest, engines=engines))
    with pytest.raises(MissingError, match=what) as caught:
        artefact_of(other, TensorRT, "fp32")
    assert caught.value.hint == "last-edge engine BUNDLE --flavour tensorrt --force"


@pytest.mark.usefixtures("fake_tensorrt")
def test_an_fp16_engine_is_of_a_float16_graph_that_lies_beside_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_engine, "gpu_name", lambda: "Orin")
    manifest = build_engine(plan_engine(bundle, flavour="tensorrt", precision="fp16"))
    assert {"tensorrt.fp16.onnx", "tensorrt.fp16.engine"} < set(manifest.files)
    assert manifest.engines["tensorrt.fp16.engine"]["source_sha256"] == manifest.files["tensorrt.fp16.onnx"]
    opened = Bundle.open(bundle)
    assert artefact_of(opened, TensorRT, "fp16") == b"plan" and opened.precisions == ("fp32", "int8")
    assert usual_precision(opened, "tensorrt") == "fp16" and usual_precision(opened, "onnxruntime-cpu") == "int8"
    assert all(check.holds for check in verify_bundle(bundle))


def test_int8_of_an_engine_is_tensorrts_own_format(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RULES, ())
    with pytest.raises(InputError, match="no int8-tensorrt graph") as caught:
        plan_engine(bundle, flavour="tensorrt", precision="int8")
    assert "fp16" in str(caught.value.expected) and "--target tensorrt" in str(caught.value.hint)
    with pytest.raises(InputError, match="has nothing for tensorrt") as missing:
        load_graph(Bundle.open(bundle), "int8", backend="tensorrt")
    assert str(missing.value.where).endswith("tensorrt.int8-tensorrt.engine")


def test_a_float16_graph_with_other_answers_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "MOST_HALF", 1e-6)
    with pytest.raises(GateError, match="differs from its model"):
        plan_engine(bundle, flavour="tensorrt", precision="fp16")


def test_where_no_engine_is_built_the_float16_graph_is_there_for_the_device(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tensorrt, "has_module", lambda name: False)
    monkeypatch.setattr(RULES, ())
    words = ["engine", str(bundle), "--flavour", "tensorrt-rtx", "--precision", "fp16"]
    assert main([*words, "--dry-run"]) == 0
    assert not (bundle / "tensorrt.fp16.onnx").exists()
    assert main(words) == 5
    assert "--onnx=tensorrt.fp16.onnx" in capsys.readouterr().out.replace("\n", "")
    assert "tensorrt.fp16.onnx" in Bundle.open(bundle).manifest.files


@pytest.mark.usefixtures("fake_tensorrt")
def test_verify_finds_an_engine_of_a_graph_that_was_replaced(bundle: Path) -> None:
    build_engine(plan_engine(bundle, flavour="tensorrt"))
    opened = Bundle.open(bundle)
    engines = {"tensorrt.fp32.engine": {**opened.manifest.engines["tensorrt.fp32.engine"], "source_sha256": "0" * 64}}
    files = {name: opened.read(name) for name in opened.manifest.files}
    write_bundle(bundle, dataclasses.replace(opened.manifest, engines=engines), files=files, force=True)
    failed = [check.name for check in verify_bundle(bundle) if not check.holds]
    assert "tensorrt.fp32.engine source" in failed
