"""The ONNX file: names, axes, no forbidden nodes, equal bytes, and the model's own logits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from last_edge.bundle import Bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.export.parity import torch_logits
from last_edge.export.session import logits_of, metadata_of
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
    assert str(Path(__file__).resolve().parents[2]).encode() not in graph
    assert b"stack_trace" not in graph


def test_any_batch_gives_the_models_logits(exported: Path, run: Path, store: ClipStore) -> None:
    checkpoint = load_checkpoint(run)
    points = plain_batch(store, np.arange(5), checkpoint.spec)
    points[2, 3:6] = np.nan
    expected = torch_logits(checkpoint.model, points)
    graph = Bundle.open(exported).graph("fp32")
    assert np.abs(expected).max() > 0.1
    allowed = 1e-5 * float(np.abs(expected).max())
    np.testing.assert_allclose(logits_of(graph, points), expected, rtol=0, atol=allowed)
    np.testing.assert_allclose(logits_of(graph, points[:1]), expected[:1], rtol=0, atol=allowed)


@pytest.mark.slow
def test_the_same_checkpoint_gives_the_same_bytes_in_another_process(exported: Path, run: Path) -> None:
    code = (
        "import hashlib, sys; from pathlib import Path\n"
        "from last_edge.export.fold import fold\n"
        "from last_edge.export.onnx_graph import to_onnx\n"
        "from last_edge.train.checkpoint import load_checkpoint\n"
        "c = load_checkpoint(Path(sys.argv[1]))\n"
        "g = to_onnx(fold(c.model), spec=c.spec, labels=c.labels, name=c.card.name)\n"
        "print(hashlib.sha256(g).hexdigest())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == Bundle.open(exported).manifest.files["model.fp32.onnx"]
