"""A graph that does not answer as its manifest says is refused when it is loaded, whoever sealed the bundle."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, load_from_string, numpy_helper

from last_edge.bundle import Bundle
from last_edge.bundle.bundle import rewrite_bundle
from last_edge.errors import InputError
from last_edge.export.proof.verify import verify_bundle
from last_edge.runtime.backends import onnxruntime as ort_backend
from last_edge.runtime.backends.base import STATM
from last_edge.runtime.recognise.decoding import Rejection
from last_edge.runtime.recogniser import Recogniser

MakeBundle = Callable[..., Path]
LABELS = 3


def graph(nodes: list[Any], constants: dict[str, Any], input_sha256: str = "") -> bytes:
    """ONNX of a clip (N, 16, 21, 3) to whatever the nodes call `logits`, whose shape is not declared."""
    taken = helper.make_tensor_value_info("landmarks", TensorProto.FLOAT, ["N", 16, 21, 3])
    given = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    body = helper.make_graph(nodes, "strange", [taken], [given], tensors)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    if input_sha256:
        helper.set_model_props(model, {"input_sha256": input_sha256})
    return bytes(model.SerializeToString())


def answering(value: Any, input_sha256: str = "") -> bytes:
    """A graph that answers a clip with `value`."""
    nodes = [
        helper.make_node("ReduceSum", ["landmarks"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["value", "nothing"], ["logits"]),
    ]
    return graph(nodes, {"value": np.asarray(value, np.float32), "zero": np.float32(0)}, input_sha256)


def endless(input_sha256: str = "") -> bytes:
    """A graph whose loop has no end."""
    names = ("iteration", "go_on", "before")
    kinds = (TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT)
    inputs = [helper.make_tensor_value_info(name, kind, []) for name, kind in zip(names, kinds, strict=True)]
    outputs = [
        helper.make_tensor_value_info("still", TensorProto.BOOL, []),
        helper.make_tensor_value_info("after", TensorProto.FLOAT, []),
    ]
    nodes = [helper.make_node("Identity", ["go_on"], ["still"]), helper.make_node("Neg", ["before"], ["after"])]
    body = helper.make_graph(nodes, "body", inputs, outputs)
    loop = [
        helper.make_node("ReduceSum", ["landmarks"], ["sum"], keepdims=0),
        helper.make_node("Loop", ["", "true", "sum"], ["end"], body=body),
        helper.make_node("Add", ["value", "end"], ["logits"]),
    ]
    return graph(loop, {"true": np.array(True), "value": np.zeros((1, LABELS), np.float32)}, input_sha256)


def with_graph(path: Path, content: bytes) -> Path:
    bundle = Bundle.open(path)
    rewrite_bundle(bundle, bundle.manifest, files={"model.fp32.onnx": content})
    return path


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.zeros((1, LABELS + 5)), "not one for each label"),
        (np.zeros((1, LABELS - 1)), "not one for each label"),
        (np.zeros((1, LABELS, LABELS)), "not one for each label"),
        (np.zeros((2, LABELS)), "not one for each label"),
        (np.zeros((1, 0)), "not one for each label"),
        (np.float32(0), "not one for each label"),
        (np.array([[0, np.nan, 0]]), "not finite"),
        (np.array([[0, np.inf, 0]]), "not finite"),
    ],
)
def test_logits_that_do_not_fit_the_labels_are_refused(make_bundle: MakeBundle, value: Any, reason: str) -> None:
    path = with_graph(make_bundle(), answering(value))
    with pytest.raises(InputError, match=reason) as caught:
        Recogniser.open(path)
    assert caught.value.where == str(path / "model.fp32.onnx") and caught.value.exit_code == 3


def test_a_graph_without_end_is_stopped(make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort_backend, "LONGEST_RUN_S", 0.2)
    path = make_bundle()
    sha256 = Bundle.open(path).manifest.input.sha256
    with_graph(path, endless(sha256))
    with pytest.raises(InputError, match="does not come to an end") as caught:
        Recogniser.open(path)
    assert caught.value.where == str(path / "model.fp32.onnx")
    (golden,) = (check for check in verify_bundle(path) if check.name == "fp32 golden")
    assert not golden.holds and "does not come to an end" in golden.detail


def huge(name: str) -> bytes:
    """A graph of 200 bytes one node of which makes 3 GiB."""
    shape = {"shape": np.array([1024, 1024, 768], np.int64)}
    if name == "ConstantOfShape":
        nodes = [helper.make_node("ConstantOfShape", ["shape"], ["much"])]
    elif name == "Expand":
        nodes = [
            helper.make_node("ReduceSum", ["landmarks"], ["sum"], keepdims=0),
            helper.make_node("Expand", ["sum", "shape"], ["much"]),
        ]
    else:
        shape = {name: np.ones(size, np.float32) for name, size in (("tall", (30_000, 1)), ("wide", (1, 30_000)))}
        nodes = [helper.make_node("MatMul", ["tall", "wide"], ["much"])]
    total = [
        helper.make_node("ReduceSum", ["much"], ["total"], keepdims=0),
        helper.make_node("Add", ["value", "total"], ["logits"]),
    ]
    return graph([*nodes, *total], {**shape, "value": np.zeros((1, LABELS), np.float32)})


@pytest.mark.skipif(not STATM.exists(), reason="memory is bounded on Linux alone")
@pytest.mark.parametrize("name", ["ConstantOfShape", "Expand", "MatMul"])
def test_a_small_graph_that_makes_gigabytes_is_refused(make_bundle: MakeBundle, name: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    path = with_graph(make_bundle(), huge(name))
    with pytest.raises(InputError) as caught:
        Recogniser.open(path)
    assert caught.value.exit_code == 3 and caught.value.where == str(path / "model.fp32.onnx")
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_weights_in_another_file_are_not_read(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret.bin").write_bytes(np.ones(LABELS, np.float32).tobytes())
    outside = TensorProto(name="value", data_type=1, dims=[1, LABELS], data_location=1)
    for key, value in (("location", "secret.bin"), ("offset", "0"), ("length", str(4 * LABELS))):
        outside.external_data.add(key=key, value=value)
    model = load_from_string(answering(np.zeros((1, LABELS))))
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "value"]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, outside])
    path = with_graph(make_bundle(), model.SerializeToString())
    with pytest.raises(InputError, match="not a model that ONNX Runtime can load"):
        Recogniser.open(path)


def test_operators_of_ones_own_are_refused(make_bundle: MakeBundle) -> None:
    model = load_from_string(graph([helper.make_node("Run", ["landmarks"], ["logits"], domain="my.own")], {}))
    model.opset_import.append(helper.make_opsetid("my.own", 1))
    path = with_graph(make_bundle(), model.SerializeToString())
    with pytest.raises(InputError, match="not a model that ONNX Runtime can load"):
        Recogniser.open(path)


def test_a_graph_that_fails_is_named(make_bundle: MakeBundle) -> None:
    nodes = [helper.make_node("Reshape", ["landmarks", "shape"], ["logits"])]
    path = with_graph(make_bundle(), graph(nodes, {"shape": np.array([7, 11], np.int64)}))
    with pytest.raises(InputError, match="the graph does not run"):
        Recogniser.open(path)


@pytest.mark.parametrize("decode", ["sliding", "segments"])
def test_nan_is_never_an_event(make_bundle: MakeBundle, decode: Any) -> None:
    from last_edge import RecogniseOptions

    class Broken:
        """A graph whose logits are NaN for what it meets later."""

        def __call__(self, points: np.ndarray) -> np.ndarray:
            return np.full((1, LABELS), np.nan, np.float32)

    model = Recogniser.open(make_bundle())
    stream = model.stream(options=RecogniseOptions(decode=decode))
    stream.use(Broken(), Rejection())  # type: ignore[arg-type]
    random = np.random.default_rng(0)
    hand, events = random.random((21, 3), np.float32), 0
    for frame in range(240):
        moving = 30 <= frame < 90
        points = hand + (np.float32(0.1) * np.sin(frame) if moving else 0)
        events += len(stream.push(np.asarray(points, np.float32), frame / 30))
        assert stream.current is None
    assert events == 0
    with pytest.raises(InputError, match="not finite"):
        stream.predict(random.random((30, 21, 3), np.float32), np.arange(30) / 30)
