"""The example for those who use a stream's ONNX file without this package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from last_edge.bundle import Bundle
from last_edge.runtime.recognise.model import open_stepper
from tests.streaming.conftest import LABELS, hand

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "onnx_only_stream.py"


def test_it_says_what_is_shown_at_every_frame(bundle_path: Path, tmp_path: Path) -> None:
    points = hand(120, seed=11)
    np.savetxt(tmp_path / "recording.csv", points.reshape(120, -1), delimiter=",", fmt="%.9g")
    command = [sys.executable, str(EXAMPLE), str(bundle_path), str(tmp_path / "recording.csv"), "fp32"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    bundle = Bundle.open(bundle_path)
    best = open_stepper(bundle, bundle.graph("fp32")).sequences(points[None])[0][0].argmax(1)
    changes = [frame for frame in range(120) if frame == 0 or best[frame] != best[frame - 1]]
    said = [line.split(" ", 2) for line in answer.stdout.splitlines()]
    assert [(float(moment), label) for moment, _, label in said] == [
        (round(frame / 25, 2), LABELS[best[frame]]) for frame in changes
    ]


def test_it_uses_nothing_of_ours() -> None:
    assert "last_edge" not in EXAMPLE.read_text()
