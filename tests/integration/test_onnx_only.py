"""The examples for those who use the ONNX file without this package: the same answers in three languages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from last_edge import Recogniser
from last_edge.bundle import Bundle
from last_edge.inputs.spec import fit_window

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
BUNDLE = ROOT / "zoo" / "last_lite_nano_shrec14"
Clip = tuple[Path, np.ndarray]


@pytest.fixture(params=[40, 64, 100])
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Clip:
    """A hand that wanders, of three lengths; some points, the first frames and the last one are missing."""
    random, frames = np.random.default_rng(request.param), int(request.param)
    points = np.cumsum(random.normal(0, 0.01, (frames, 22, 3)), axis=0).astype(np.float32)
    points[random.random((frames, 22)) < 0.05] = np.nan
    points[[0, 1, -1]] = np.nan
    path = tmp_path / "clip.csv"
    np.savetxt(path, points.reshape(frames, -1), delimiter=",", fmt="%.9g")
    return path, points


def check(command: Sequence[object], points: np.ndarray, *, precision: str) -> None:
    """The printed classes and probabilities are the recogniser's."""
    answer = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    model = Recogniser.open(BUNDLE, precision=precision)  # type: ignore[arg-type]
    expected = model.predict(points, fps=30).top
    lines = answer.stdout.splitlines()
    said = [line.split(" ", 1) for line in lines[:3]]
    assert [label for _, label in said] == [guess.label for guess in expected]
    assert [float(text) for text, _ in said] == pytest.approx([guess.probability for guess in expected], abs=2e-3)
    logits = model.backend(fit_window(points[None], model.spec.frames))[0]
    assert model.accept is not None
    unsure = expected[0].probability < model.accept or not model.rejection.knows(logits)
    assert lines[3:] == (["not sure enough to report"] if unsure else [])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_python_with_onnx_runtime_alone(clip: Clip, precision: str) -> None:
    path, points = clip
    check([sys.executable, EXAMPLES / "onnx_only.py", BUNDLE, path, precision], points, precision=precision)


def test_the_python_example_uses_nothing_of_ours() -> None:
    text = (EXAMPLES / "onnx_only.py").read_text()
    assert "last_edge" not in text and "import onnxruntime" in text


@pytest.fixture
def node() -> str:
    """Node with an ONNX Runtime that it finds."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("no node on this machine")
    found = "try { require('onnxruntime-node') } catch { require('onnxruntime-web') }"
    if subprocess.run([program, "-e", found], capture_output=True, check=False).returncode != 0:
        pytest.skip("node finds no onnxruntime-node: npm install onnxruntime-node, and NODE_PATH=…/node_modules")
    return program


def test_javascript(node: str, clip: Clip) -> None:
    path, points = clip
    check([node, EXAMPLES / "onnx_only.js", BUNDLE, path, "fp32"], points, precision="fp32")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ example, compiled with the headers of ORT_ROOT or the system, linked with the library of the wheel.

    The API is compatible forwards: headers of an older release are enough.
    """
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler on this machine")
    folder = tmp_path_factory.mktemp("cpp")
    for library in Path(str(onnxruntime.__file__)).parent.glob("capi/libonnxruntime.so.*"):
        (folder / "libonnxruntime.so.1").symlink_to(library)
    if not (folder / "libonnxruntime.so.1").exists():
        pytest.skip("this ONNX Runtime has its library inside the Python module")
    headers = [f"-I{Path(os.environ.get('ORT_ROOT', '/usr')) / name}" for name in ("include", "include/onnxruntime")]
    places = [*headers, folder / "libonnxruntime.so.1", f"-Wl,-rpath,{folder}"]
    header = subprocess.run([compiler, *headers, "-E", "-x", "c++", "-"], input="#include <onnxruntime_cxx_api.h>",
                            capture_output=True, text=True, check=False)  # fmt: skip
    if header.returncode != 0:
        pytest.skip("no onnxruntime_cxx_api.h: Debian 13's libonnxruntime-dev, or ORT_ROOT=… of an unpacked release")
    made = folder / "onnx_only"
    command = [compiler, "-std=c++17", "-O1", str(EXAMPLES / "onnx_only.cpp"), *places, "-o", made]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


def test_cpp(program: Path, clip: Clip) -> None:
    path, points = clip
    thresholds = Bundle.open(BUNDLE).manifest.thresholds
    words = [thresholds[name] for name in ("temperature", "energy", "accept")]
    check([program, BUNDLE / "model.fp32.onnx", path, *words], points, precision="fp32")


def test_the_graph_alone_names_its_classes() -> None:
    model = Recogniser.open(BUNDLE)
    assert json.loads(model.backend.metadata["labels"]) == list(model.labels)
