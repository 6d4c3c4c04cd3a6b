"""`last-edge export --target`: TensorRT-ready graphs beside the bundle's own, checked and ready to be typed in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.clips.store import ClipStore
from last_edge.export.onnx import onnx_graph
from last_edge.export.proof.verify import verify_bundle
from last_edge.export.targets.deploy import add_targets
from last_edge.export.targets.tensorrt import violations, why_not
from last_edge.runtime.backends.tensorrt_engine import TensorRTForRTX
from last_edge.tools.cli import main


def test_tensorrt_gets_symmetric_int8_that_breaks_no_rule(
    run: Path, exported: Path, store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    graph = Bundle.open(exported).graph("fp32")
    monkeypatch.setattr(onnx_graph, "to_onnx", lambda *_, **__: graph)  # tracing takes seconds
    path = tmp_path / "b"
    arguments = ["export", str(run), "--out", str(path), "--store", str(store.path), "--target", "tensorrt", "--json"]
    assert main([*arguments, "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["targets"] == ["tensorrt"] and not path.exists()
    assert main([*arguments, "--target", "tensorr"]) == 2 and "did you mean tensorrt" in capsys.readouterr().err
    assert main(arguments) == 0
    said = json.loads(capsys.readouterr().out)["targets"]["tensorrt"]
    assert said["graph"] == "model.int8-tensorrt.onnx" and "operator rules" in said["checked"]
    assert any("trtexec --onnx=model.int8-tensorrt.onnx" in line for line in said["on the device"])
    bundle = Bundle.open(path)
    assert violations(bundle.graph("int8-tensorrt")) == [] and "fp32" in bundle.precisions
    assert all(check.holds for check in verify_bundle(path, store)), capsys.readouterr()
    assert main(["engine", str(path), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"] == "model.int8-tensorrt.onnx"


def test_without_a_store_the_float_graph_is_checked(run: Path, exported: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(exported, tmp_path / "b"))
    before = (path / "manifest.json").read_bytes()
    said = add_targets(path, run, ["tensorrt"], store=None, split="test", threads=1)
    assert said["tensorrt"]["graph"] == "model.fp32.onnx" and (path / "manifest.json").read_bytes() == before


@pytest.mark.skipif(bool(why_not(TensorRTForRTX)), reason=why_not(TensorRTForRTX))
def test_rtx_builds_the_int8_engine_here(run: Path, exported: Path, store: ClipStore, tmp_path: Path) -> None:
    path = Path(shutil.copytree(exported, tmp_path / "b"))
    said = add_targets(path, run, ["tensorrt-rtx"], store=store, split="test", threads=1)
    name = "tensorrt-rtx.int8-tensorrt.engine"
    assert said["tensorrt-rtx"]["engine"] == name
    bundle = Bundle.open(path)
    assert len(bundle.read(name)) > 10_000
    assert bundle.manifest.engines[name]["source"] == "model.int8-tensorrt.onnx"
    assert all(check.holds for check in verify_bundle(path))
