"""The ONNX Runtime backend: what it computes and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from last_edge.bundle import Bundle, write_bundle
from last_edge.errors import InputError
from last_edge.runtime.backends import BACKENDS, OnnxRuntimeCpu
from last_edge.runtime.recogniser import Recogniser

MakeBundle = Callable[..., Path]


@pytest.fixture
def graph(make_bundle: MakeBundle) -> bytes:
    return Bundle.open(make_bundle(frames=4)).graph("fp32")


def test_computes_the_graph_for_any_batch(graph: bytes) -> None:
    points = np.zeros((3, 4, 21, 3), np.float32)
    points[1, 2:, :, 0] = 0.5
    points[2, 2:, :, 0] = np.nan
    logits = OnnxRuntimeCpu(graph)(points)
    np.testing.assert_allclose(logits, [[0, 0, 0], [-20, 0, 20], [0, 0, 0]], atol=1e-5)


def test_reads_a_file_as_it_reads_bytes(graph: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(graph)
    assert OnnxRuntimeCpu(tmp_path / "model.onnx").input_shape == (None, 4, 21, 3)


def test_wrong_joint_count_is_refused(graph: bytes) -> None:
    with pytest.raises(InputError, match="points do not fit the model") as caught:
        OnnxRuntimeCpu(graph)(np.zeros((1, 4, 22, 3), np.float32))
    assert caught.value.got == "(1, 4, 22, 3)"


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a model"):
        OnnxRuntimeCpu(b"not onnx")
    with pytest.raises(InputError, match="not a model"):
        OnnxRuntimeCpu(tmp_path / "absent.onnx")


def test_a_graph_with_other_names_is_refused() -> None:
    from onnx import TensorProto, helper

    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", info[:1], info[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(InputError, match="other inputs or outputs"):
        OnnxRuntimeCpu(model.SerializeToString())


def test_the_table_knows_what_is_available_and_its_version() -> None:
    backend = BACKENDS["onnxruntime-cpu"]
    assert backend.is_available() and backend.why_not() == ""
    assert backend.version()[0].isdigit()


@pytest.mark.parametrize("fits", [True, False])
def test_a_graph_made_for_other_input_than_the_manifests_is_refused(make_bundle: MakeBundle, fits: bool) -> None:
    import onnx

    path = make_bundle(frames=4)
    bundle = Bundle.open(path)
    proto = onnx.load_from_string(bundle.graph("fp32"))
    sha256 = bundle.manifest.input.sha256 if fits else "0" * 64
    onnx.helper.set_model_props(proto, {"input_sha256": sha256})
    files = {**bundle.contents, "model.fp32.onnx": proto.SerializeToString()}
    files.pop("manifest.json")
    write_bundle(path, bundle.manifest, files=files, force=True)
    if fits:
        assert Recogniser.open(path).precision == "fp32"
    else:
        with pytest.raises(InputError, match=r"made for other input(.|\n)*model\.fp32\.onnx"):
            Recogniser.open(path)
