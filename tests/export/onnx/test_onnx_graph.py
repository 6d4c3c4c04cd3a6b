"""The ONNX file: names, axes, no forbidden nodes, equal bytes, and the model's own logits."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from last_edge.bundle import Bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.errors import GateError
from last_edge.export.bundles.sources import golden_points
from last_edge.export.onnx.onnx_graph import check_graph_signature, metadata_of, to_onnx
from last_edge.export.onnx.session import logits_of
from last_edge.export.proof.parity import torch_logits
from last_edge.inputs import InputSpec
from last_edge.inputs.features import pick
from last_edge.inputs.spec import fit_window
from last_edge.models import create_model
from last_edge.skeleton import get_layout
from last_edge.tools.cli import main
from last_edge.train.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def proto(exported: Path) -> onnx.ModelProto:
    return onnx.load_from_string(Bundle.open(exported).graph("fp32"))


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_names_axes_and_opset_are_fixed(proto: onnx.ModelProto) -> None:
    assert [(value.name, dims(value)) for value in proto.graph.input] == [("landmarks", ["batch", 16, 22, 3])]
    assert [(value.name, dims(value)) for value in proto.graph.output] == [("logits", ["batch", 3])]
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 20)]


def test_the_graph_is_folded(proto: onnx.ModelProto) -> None:
    kinds = [node.op_type for node in proto.graph.node]
    forbidden = {"Einsum", "Shape", "Reshape", "BatchNormalization", "Dropout", "Expand", "Loop", "If", "Cast"}
    assert not forbidden & set(kinds)
    assert kinds.count("Transpose") == 1
    assert kinds.count("MatMul") == 3
    assert len(kinds) <= 75


def test_every_matrix_is_a_constant(proto: onnx.ModelProto) -> None:
    constants = {initializer.name for initializer in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            assert set(node.input[1:]) <= constants, node.name


def test_metadata_says_what_the_graph_takes(exported: Path) -> None:
    bundle = Bundle.open(exported)
    metadata = metadata_of(bundle.graph("fp32"))
    assert metadata["input_sha256"] == bundle.manifest.input.sha256
    assert json.loads(metadata["labels"]) == list(bundle.manifest.labels)
    assert metadata["model"] == "last_lite_nano"


def test_nothing_of_this_machine_is_in_the_file(exported: Path) -> None:
    graph = Bundle.open(exported).graph("fp32")
    assert str(Path(__file__).resolve().parents[3]).encode() not in graph
    assert b"stack_trace" not in graph


def test_any_batch_gives_the_models_logits(exported: Path, run: Path, store: ClipStore) -> None:
    checkpoint = load_checkpoint(run)
    points = plain_batch(store, np.arange(5), checkpoint.spec)
    points["landmarks"][2, 3:6] = np.nan
    expected = torch_logits(checkpoint.model, points)
    graph = Bundle.open(exported).graph("fp32")
    assert np.abs(expected).max() > 0.1
    allowed = 1e-5 * float(np.abs(expected).max())
    np.testing.assert_allclose(logits_of(graph, points), expected, rtol=0, atol=allowed)
    np.testing.assert_allclose(logits_of(graph, pick(points, slice(1))), expected[:1], rtol=0, atol=allowed)


@pytest.mark.slow
def test_the_same_checkpoint_gives_the_same_bytes_in_another_process(exported: Path, run: Path) -> None:
    code = (
        "import hashlib, sys; from pathlib import Path\n"
        "from last_edge.export.onnx.onnx_graph import to_onnx\n"
        "from last_edge.train.checkpoint import load_checkpoint\n"
        "c = load_checkpoint(Path(sys.argv[1]))\n"
        "g = to_onnx(c.model.deployed(), labels=c.labels, name=c.card.name)\n"
        "print(hashlib.sha256(g).hexdigest())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == Bundle.open(exported).manifest.files["model.fp32.onnx"]


@pytest.mark.slow
@pytest.mark.parametrize("bodies", [1, 2])
def test_a_graph_of_any_length_resamples_as_the_runtime_does(bodies: int) -> None:
    spec = InputSpec(get_layout("shrec22"), frames=16, bodies=bodies)
    model = create_model("last_lite_nano", spec=spec, classes=3).eval()
    torch.nn.init.normal_(model.body.head.fc.weight)  # type: ignore[union-attr, arg-type]
    graph = to_onnx(model.deployed(), labels=("a", "b", "c"), name="last_lite_nano", dynamic_time=True)
    assert metadata_of(graph)["time"] == "dynamic"
    axes = dims(onnx.load_from_string(graph).graph.input[0])
    assert axes == ["batch", *([bodies] if bodies > 1 else []), "time", 22, 3]
    for frames in (1, 16, 37, 50):
        clips = golden_points(dataclasses.replace(spec, frames=frames))
        windows = np.stack([fit_window(clip if bodies > 1 else clip[None], 16) for clip in clips])
        expected = torch_logits(model, {"landmarks": windows if bodies > 1 else windows[:, 0]})
        np.testing.assert_allclose(
            logits_of(graph, {"landmarks": clips}), expected, rtol=0, atol=1e-4 * np.abs(expected).max()
        )


@pytest.mark.slow
def test_a_bundle_for_clips_of_any_length_is_as_its_model(run: Path, store: ClipStore, tmp_path: Path) -> None:
    out = tmp_path / "any_length"
    assert main(["export", str(run), "--dynamic-time", "--store", str(store.path), "--out", str(out), "--quiet"]) == 0
    assert metadata_of(Bundle.open(out).graph("fp32"))["time"] == "dynamic"
    assert main(["parity", str(out), "--run", str(run), "--store", str(store.path), "--quiet"]) == 0
    assert main(["verify", str(out), "--store", str(store.path), "--quiet"]) == 0


@pytest.mark.slow
def test_the_plain_graph_is_the_unfolded_model(run: Path, exported: Path, store: ClipStore, tmp_path: Path) -> None:
    assert main(["export", str(run), "--plain", "--out", str(tmp_path / "plain.onnx"), "--quiet"]) == 0
    plain = (tmp_path / "plain.onnx").read_bytes()
    kinds = {node.op_type for node in onnx.load_from_string(plain).graph.node}
    assert "BatchNormalization" in kinds and metadata_of(plain)["form"] == "plain"
    points = plain_batch(store, np.arange(4), load_checkpoint(run).spec)
    edge = logits_of(Bundle.open(exported).graph("fp32"), points)
    np.testing.assert_allclose(logits_of(plain, points), edge, rtol=0, atol=1e-4 * float(np.abs(edge).max()))


def test_a_graph_that_is_not_as_declared_is_refused(proto: onnx.ModelProto) -> None:
    spec = InputSpec(get_layout("shrec22"), frames=16, scale="limb")
    check_graph_signature(proto, spec=spec, classes=3)
    with pytest.raises(GateError, match="axes of the graph's input"):
        check_graph_signature(proto, spec=dataclasses.replace(spec, frames=8), classes=3)
    with pytest.raises(GateError, match="forbidden operators"):
        check_graph_signature(proto, spec=spec, classes=3, forbidden=("MatMul",))
