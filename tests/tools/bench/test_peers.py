"""Peers have the sizes their papers state, take what our models take, and are trained and exported by one recipe."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from last_edge.errors import EXIT_USAGE
from last_edge.export.onnx.session import logits_of
from last_edge.inputs import InputSpec
from last_edge.models.registry import BUILDERS
from last_edge.skeleton import get_layout
from last_edge.tools import cli
from last_edge.tools.bench.peers import PEERS, build

HAND = InputSpec(get_layout("shrec22"), frames=32, scale="limb")
MILLIONS = {"peer_st_gcn": 3.1, "peer_ctr_gcn": 1.4, "peer_dd_net_small": 0.15, "peer_dd_net": 1.82}
"""As their papers and those that compare with them state."""


@pytest.mark.parametrize(("name", "stated"), MILLIONS.items())
def test_a_peer_has_about_the_size_its_paper_states(name: str, stated: float) -> None:
    count = sum(parameter.numel() for parameter in build(name, HAND, 14).parameters()) / 1e6
    assert count == pytest.approx(stated, rel=0.1)


def test_the_tutorials_lstm_has_the_size_of_the_tutorial() -> None:
    """Keras counts 596,675 at three words and 1662 numbers a frame, torch a second bias of 4 x 256 numbers more."""
    holistic = InputSpec(get_layout("mediapipe_holistic83"), frames=30)
    numbers = holistic.layout.joints * 3
    count = sum(parameter.numel() for parameter in build("peer_lstm", holistic, 3).parameters())
    assert count - 4 * 64 * numbers + 4 * 64 * 1662 == 596_675 + 4 * (64 + 128 + 64)


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_reads_clips_with_missing_points_and_learns_from_them(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, HAND, 5)
    points = torch.randn(4, 32, 22, 3)
    points[0, 3:9, 2] = torch.nan
    logits = model(points)
    assert logits.shape == (4, 5) and bool(logits.isfinite().all())
    logits.square().sum().backward()
    unused = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert unused == []


@pytest.mark.slow
@patch.dict(BUILDERS)  # the command registers the peers beside our models
def test_the_command_trains_exports_measures_and_times(
    toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "peers"
    words = ["bench", "peers", "--store", str(toy_store), "--recipe", "demo", "--out", str(out), "--quiet"]
    short = ["--set", "training.epochs=2", "--set", "input.frames=16"]
    assert cli.main([*words, *short, "--models", "gru"]) == 0
    assert cli.main([*words, *short, "--models", "dd_net_small,last_lite_nano"]) == 0
    rows = json.loads((out / "peers.json").read_text())
    assert [row["name"] for row in rows] == ["peer_gru", "peer_dd_net_small", "last_lite_nano"] and rows[0]["n"] == 24
    assert all(0 < row["p50_ms"] <= row["p95_ms"] and row["frames"] == 16 for row in rows)
    page = (out / "peers.md").read_text()
    assert "two GRU layers of 128" in page and "`last_lite_nano`, from labels alone" in page
    points = np.random.default_rng(0).normal(size=(2, 16, 5, 3)).astype(np.float32)
    assert logits_of((out / "peer_gru.onnx").read_bytes(), {"landmarks": points}).shape == (2, 3)
    assert cli.main([*words, "--set", "training.epochs=1", "--models", "gru"]) == EXIT_USAGE
    assert "trained by another recipe" in capsys.readouterr().err


def test_an_unknown_peer_is_told_and_a_dry_run_writes_nothing(toy_store: Path, tmp_path: Path) -> None:
    words = ["bench", "peers", "--store", str(toy_store), "--out", str(tmp_path / "p"), "--quiet", "--dry-run"]
    assert cli.main([*words, "--models", "st_gnc"]) == EXIT_USAGE
    assert cli.main(words) == 0 and not (tmp_path / "p").exists()
