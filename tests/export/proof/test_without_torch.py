"""A device with the runtime's packages alone, no torch and no onnx, proves and measures a bundle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.data.dataset import ClipDataset
from last_edge.export.proof.verify import verify_bundle
from last_edge.tools.cli import main

PROGRAM = """
import sys
absent = ("torch", "onnx", "onnxscript", "onnxslim", "safetensors", "scipy", "cv2", "mediapipe")
sys.modules.update(dict.fromkeys(absent))
from last_edge.tools.cli import main
sys.exit(main(sys.argv[1:]))
"""


def bare(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command where those packages cannot be imported."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_verify_measures_everything_but_the_parameter_count(quantized: Path, store: ClipStore) -> None:
    done = bare("verify", quantized, "--store", store.path, "--json")
    assert done.returncode == 0, done.stderr
    names = [row["name"] for row in json.loads(done.stdout)["rows"]]
    assert names == [check.name for check in verify_bundle(quantized, store) if check.name != "parameters"]


def test_eval_gives_the_same_figures(quantized: Path, store: ClipStore, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["eval", str(quantized), "--store", str(store.path), "--precision", "int8", "--json"]
    done = bare(*arguments)
    assert done.returncode == 0, done.stderr
    assert main(arguments) == 0
    assert json.loads(done.stdout) == json.loads(capsys.readouterr().out)


def test_windows_are_those_of_training(store: ClipStore, quantized: Path) -> None:
    from last_edge.bundle import Bundle

    spec, clips = Bundle.open(quantized).manifest.input, store.select(split="test")
    dataset = ClipDataset(store, clips, spec=spec)
    windows = plain_batch(store, clips, spec)["landmarks"]
    assert all((dataset[item][0].numpy() == windows[item]).all() for item in range(len(clips)))
