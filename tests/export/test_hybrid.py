"""A recogniser with a second input through the same stages: export, INT8, verify, eval, bench; `run` refuses it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from last_edge.bundle import Bundle
from last_edge.clips.features import write_features
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError
from last_edge.export.bundles.sources import golden_inputs
from last_edge.export.int8.quantize import quantize_graph
from last_edge.export.onnx.onnx_graph import to_onnx
from last_edge.export.onnx.session import logits_of
from last_edge.export.proof.parity import torch_logits
from last_edge.inputs import InputSpec
from last_edge.inputs.features import FeatureInput, pick
from last_edge.models import create_model
from last_edge.skeleton import get_layout
from last_edge.tools.cli import main
from last_edge.train.evaluate import evaluate_run
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training

WIDTH = 12
SETS = (
    "model.name=hybrid_nslt", "model.width=32", "model.heads=2", "model.layers=1", "model.dropout=0.0",
    "model.feature_frames=4", "model.fusion=cross", "input.frames=8", "training.epochs=8", "training.batch_size=8",
    "training.optimizer=adamw", "training.lr=0.003", "training.warmup_epochs=1", "training.warmup_start_lr=0.0",
    "validation.fraction=0.25",
)  # fmt: skip


@pytest.fixture(scope="module")
def store(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy store with features that tell its classes apart, but for one clip that has none."""
    path = tmp_path_factory.mktemp("hybrid") / "store"
    shutil.copytree(toy_store, path)
    opened, random = ClipStore.open(path), np.random.default_rng(0)
    shapes = random.normal(size=(3, WIDTH))
    rows = [shapes[label] + random.normal(0, 0.3, (3, WIDTH)) for label in opened.index.label]
    rows[4] = rows[4][:0]
    write_features(opened, "visual", rows, about={})
    return path


@pytest.fixture(scope="module")
def bundle(store: Path) -> Path:
    """Trained, exported and quantised."""
    run, made = store.parent / "run", store.parent / "bundle"
    run_training(Request(load_recipe(None, overrides=SETS), store, run))
    assert main(["export", str(run), "--store", str(store), "--out", str(made), "--quiet"]) == 0
    limits = [part for text in ("max_bytes_fixed=200000", "min_speedup=0") for part in ("--set", f"quantize.{text}")]
    assert main(["quantize", str(made), "--store", str(store), "--quiet", *limits]) == 0
    return made


@pytest.mark.parametrize("fusion", ["concat", "gated", "cross"])
def test_every_fusion_computes_the_same_as_onnx(fusion: str) -> None:
    torch.manual_seed(5)
    spec = InputSpec(get_layout("mediapipe_hand21"), frames=8, streams=("joint",))
    model = create_model(
        "hybrid_nslt", spec=spec, classes=5, fusion=fusion, width=32, layers=1, feature_dim=6, feature_frames=4
    ).eval()
    torch.nn.init.normal_(model.body.head.fc.weight)  # type: ignore[union-attr, arg-type]
    batch = golden_inputs(spec, model.features)
    assert np.isnan(batch["visual"][2]).all() and np.isnan(batch["landmarks"][3]).all()
    expected = torch_logits(model, batch)
    graph = to_onnx(model.deployed(), labels=tuple("abcde"), name="hybrid_nslt")
    allowed = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(logits_of(graph, batch), expected, rtol=0, atol=allowed)
    np.testing.assert_allclose(logits_of(graph, pick(batch, slice(1))), expected[:1], rtol=0, atol=allowed)
    int8 = logits_of(quantize_graph(graph, batch), batch)
    assert np.isfinite(int8).all() and np.abs(int8 - expected).max() < 0.2 * np.abs(expected).max()


def test_the_graph_has_two_named_inputs(bundle: Path) -> None:
    proto = onnx.load_from_string(Bundle.open(bundle).graph("fp32"))
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in proto.graph.input
    }
    assert shapes == {"landmarks": ["batch", 8, 5, 3], "visual": ["batch", 4, WIDTH]}
    opened = Bundle.open(bundle)
    assert opened.manifest.features == FeatureInput("visual", 4, WIDTH)
    assert set(opened.golden.inputs) == {"landmarks", "visual"}


def test_run_and_bundle_measure_the_same(bundle: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = evaluate_run(bundle.parent / "run", ClipStore.open(store))["top1"]
    assert expected > 80
    for precision, slack in (("fp32", 0.0), ("int8", 5.0)):
        command = ["eval", str(bundle), "--store", str(store), "--precision", precision, "--json"]
        assert main(command) == 0
        assert abs(json.loads(capsys.readouterr().out)["top1"] - expected) <= slack


def test_it_is_verified_and_timed(bundle: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle), "--store", str(store)]) == 0
    capsys.readouterr()
    quick = ["--repeats", "1", "--calls", "2"]
    assert main(["bench", str(bundle), "--json", *quick]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["precision"] for row in rows} == {"fp32", "int8"} and all(row["p50_ms"] > 0 for row in rows)
    assert main(["parity", str(bundle), "--store", str(store), "--run", str(bundle.parent / "run")]) == 0


def test_live_frames_have_no_features(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(bundle), "--source", "synthetic", "--no-window"]) == 3
    assert "'visual' features as well" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["samples", "BUNDLE", "--store", "STORE"],
        ["engine", "BUNDLE", "--dry-run"],
        ["thresholds", "BUNDLE", "--store", "STORE", "--held-out", "0"],
        ["web", "BUNDLE", "--export", "OUT"],
        ["eval", "BUNDLE", "--store", "STORE", "--stream"],
        ["pretrain", "maskclr", "--model", "hybrid_nslt", "--store", "STORE", "--out", "OUT", "--dry-run"],
        ["probe", "RUN", "--store", "STORE", "--out", "OUT"],
    ],
)
def test_what_takes_landmarks_alone_names_the_model(
    command: list[str], bundle: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"BUNDLE": bundle, "STORE": store, "RUN": bundle.parent / "run", "OUT": tmp_path / "out"}
    before = sorted(path.name for path in bundle.iterdir())
    assert main([str(places.get(word, word)) for word in command]) in (2, 3)
    assert "hybrid_nslt" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert sorted(path.name for path in bundle.iterdir()) == before


def test_landmarks_alone_are_refused(bundle: Path) -> None:
    graph = Bundle.open(bundle).graph("fp32")
    with pytest.raises(InputError, match="more than landmarks"):
        logits_of(graph, {"landmarks": np.zeros((1, 8, 5, 3), np.float32)})


def test_what_a_second_input_does_not_take_is_said(bundle: Path, tmp_path: Path) -> None:
    command: list[Any] = ["export", bundle.parent / "run", "--out", tmp_path / "b", "--dynamic-time"]
    assert main([str(part) for part in command]) == 2


def test_a_dry_run_tells_the_size_that_the_bundle_has(
    store: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [part for text in SETS for part in ("--set", text)]
    command = ["train", "--store", str(store), "--out", str(tmp_path / "r"), *sets, "--dry-run", "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["params"] == Bundle.open(bundle).manifest.model.params


@pytest.mark.parametrize("choice", [["--qat", "--epochs", "1"], ["--keep-float", "auto", "--latency-budget", "9"]])
def test_weights_are_trained_and_nodes_chosen_with_both_inputs(
    choice: list[str], bundle: Path, store: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(bundle, own)
    limits = ["--set", "quantize.min_speedup=0", "--set", "quantize.max_bytes_fixed=200000"]
    assert main(["quantize", str(own), "--store", str(store), *choice, *limits, "--force", "--quiet"]) == 0
    assert Bundle.open(own).graph("int8") != Bundle.open(bundle).graph("int8")
    assert main(["verify", str(own)]) == 0
