"""The commands around a bundle: exit codes and messages a user meets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.clips.store import ClipStore
from last_edge.export.onnx import onnx_graph
from last_edge.export.targets import deploy
from last_edge.tools.cli import main


@pytest.mark.parametrize("command", ["export", "quantize", "parity", "verify"])
def test_help_ends_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"Example: last-edge {command} " in capsys.readouterr().out


@pytest.mark.parametrize("command", ["parity", "verify"])
def test_no_bundle_is_bad_input(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, str(tmp_path / "none")]) == 3
    error = capsys.readouterr().err
    assert "no bundle here" in error and "last-edge export" in error and "Traceback" not in error


def test_export_of_no_run_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "b")]) == 3
    assert "not a run or checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [("recipe.yaml", "seed: [1"), ("recipe.yaml", "- 1"), ("recipe.yaml", "seed: x"), ("env.json", "[]")],
)
def test_a_damaged_checkpoint_file_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    shutil.copytree(run, tmp_path / "epoch-0001")
    (tmp_path / "epoch-0001" / name).write_text(content)
    assert main(["export", str(tmp_path / "epoch-0001"), "--out", str(tmp_path / "b"), "--dry-run"]) == 3
    error = capsys.readouterr().err
    assert name in error and "Traceback" not in error


def test_from_checkpoint_to_proof(
    run: Path,
    store: ClipStore,
    exported: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = Bundle.open(exported).graph("fp32")
    monkeypatch.setattr(onnx_graph, "to_onnx", lambda *_, **__: graph)  # tracing takes seconds
    bundle, on = str(tmp_path / "b"), ["--store", str(store.path)]
    for command in (["export", str(run), "--out", bundle, *on], ["quantize", str(exported), *on]):
        assert main([*command, "--dry-run", "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["clips_measured"] == 9 and said["would_write"] == (command[3] if "--out" in command else command[1])
    assert not Path(bundle).exists() and Bundle.open(exported).precisions == ("fp32",)
    assert main(["export", str(run), "--out", bundle, *on, "--threads", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["metrics"]["fp32"]["n"] == 9
    assert main(["export", str(run), "--out", bundle]) == 2
    assert main(["export", str(run), "--out", bundle, "--dry-run"]) == 2
    assert main(["quantize", bundle, *on, "--clips", "9", "--set", "quantize.min_speedup=0", "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)["manifest"]
    assert len(manifest["calibration_ids"]) == 9 and set(manifest["metrics"]) == {"fp32", "int8"}
    assert main(["quantize", bundle, *on, "--dry-run"]) == 2
    capsys.readouterr()
    assert main(["verify", bundle, *on, "--threads", "1", "--json"]) == 0
    assert all(row["holds"] for row in json.loads(capsys.readouterr().out)["rows"])
    assert main(["parity", bundle, "--run", str(run)]) == 0
    assert "torch:fp32" in capsys.readouterr().out
    _damage(Path(bundle) / "model.int8.onnx")
    assert main(["verify", bundle]) == 4
    assert "model.int8.onnx (bytes have changed)" in capsys.readouterr().err
    assert main(["eval", bundle, *on]) == 3
    assert "model.int8.onnx" in capsys.readouterr().err
    with pytest.raises(Exception, match="bytes have changed"):
        Bundle.open(Path(bundle))


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def test_export_says_what_cannot_be_before_it_works(
    run: Path, store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "why_not", lambda: "litert-torch is not installed")
    monkeypatch.setattr(onnx_graph, "to_onnx", lambda *_, **__: pytest.fail("a graph was made"))
    command = ["export", str(run), "--out", str(tmp_path / "b"), "--store", str(store.path)]
    for more, code, named in ((["--target", "litert"], 5, "litert-convert"), (["--split", "nowhere"], 3, "nowhere")):
        assert main([*command, *more]) == code
        assert named in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_percentile_needs_its_method_and_a_share(
    store: ClipStore, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["quantize", str(exported), "--store", str(store.path), "--percentile"]
    for more, named in ((["99"], "--method percentile"), (["5", "--method", "percentile"], "above 50")):
        assert main([*command, *more]) == 2
        assert named in capsys.readouterr().err
