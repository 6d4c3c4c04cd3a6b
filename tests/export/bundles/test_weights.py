"""Float weights that travel in a bundle: the checkpoint's own bytes, read back as its model, proved by `verify`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from last_edge.bundle import Bundle, rewrite_bundle, write_bundle
from last_edge.bundle.manifest import CARD, WEIGHTS
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError
from last_edge.export.bundles.bundle_writer import export_run
from last_edge.export.onnx import onnx_graph
from last_edge.export.proof.verify import verify_bundle
from last_edge.tools.cli import main
from last_edge.train.checkpoint import load_checkpoint, read_bundled


@pytest.fixture
def whole(run: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle with float weights, made by the command."""
    graph = Bundle.open(exported).graph("fp32")
    monkeypatch.setattr(onnx_graph, "to_onnx", lambda *_, **__: graph)  # tracing takes seconds
    assert main(["export", str(run), "--out", str(tmp_path / "b"), "--weights", "--quiet"]) == 0
    return tmp_path / "b"


def test_the_model_that_was_exported_comes_back(whole: Path, run: Path, store: ClipStore, tmp_path: Path) -> None:
    trained, back = load_checkpoint(run), read_bundled(whole)
    assert (back.card, back.spec, back.labels) == (trained.card, trained.spec, trained.labels)
    ours, theirs = trained.model.state_dict(), back.model.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not back.model.training
    bundle = Bundle.open(whole)
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    write_bundle(tmp_path / "b.last", bundle.manifest, files=files)
    assert torch.equal(read_bundled(tmp_path / "b.last").model.body.head.fc.weight, ours["body.head.fc.weight"])  # type: ignore[union-attr]
    assert WEIGHTS in bundle.read(CARD).decode() and all(check.holds for check in verify_bundle(whole))


def test_a_bundle_without_weights_says_how_to_get_them(exported: Path) -> None:
    with pytest.raises(InputError, match="no float weights") as caught:
        read_bundled(exported)
    assert caught.value.hint == "last-edge export RUN --out BUNDLE --weights"


def test_a_changed_byte_and_other_weights_are_found(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "damaged")
    content = bytearray((whole / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (tmp_path / "damaged" / WEIGHTS).write_bytes(bytes(content))
    with pytest.raises(InputError, match="bytes have changed"):
        read_bundled(tmp_path / "damaged")
    bundle = Bundle.open(whole)
    last = np.frombuffer(bundle.read(WEIGHTS), np.uint8).copy()
    last[-256:] = 0
    rewrite_bundle(bundle, bundle.manifest, files={WEIGHTS: last.tobytes()})
    failed = {check.name for check in verify_bundle(whole) if not check.holds}
    assert "weights" in failed


def test_verify_measures_the_weights_against_the_graph_on_clips(
    run: Path, exported: Path, store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = Bundle.open(exported).graph("fp32")
    monkeypatch.setattr(onnx_graph, "to_onnx", lambda *_, **__: graph)
    export_run(run, tmp_path / "b", store=store, weights=True)
    found = {check.name: check.holds for check in verify_bundle(tmp_path / "b", store)}
    assert found["parity torch:fp32 on test"] and all(found.values())
    bundle = Bundle.open(tmp_path / "b")
    other = load(bundle.read(WEIGHTS))
    other["body.head.fc.weight"] *= -1
    rewrite_bundle(bundle, bundle.manifest, files={WEIGHTS: save(other)})
    failed = {check.name for check in verify_bundle(tmp_path / "b", store) if not check.holds}
    assert failed == {"weights", "torch golden", "parity torch:fp32 on test"}


def test_a_dry_run_names_the_file(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), "--out", str(tmp_path / "c"), "--weights", "--dry-run", "--json"]) == 0
    assert WEIGHTS in capsys.readouterr().out
