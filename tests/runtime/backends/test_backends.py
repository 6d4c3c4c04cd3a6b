"""Every backend says whether it can run here; those that can compute the same, and refuse the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.errors import InputError, MissingError
from last_edge.runtime.backends import BACKENDS, OnnxRuntimeCpu
from last_edge.runtime.backends.onnxruntime import OnnxRuntimeCuda, OrtOptions

MakeBundle = Callable[..., Path]
READS_ONNX = [name for name, backend in BACKENDS.items() if backend.kind == "onnx"]


@pytest.fixture
def graph(make_bundle: MakeBundle) -> bytes:
    return Bundle.open(make_bundle(frames=4)).graph("fp32")


def available(name: str) -> Any:
    """The backend, or a skip with its own reason."""
    if reason := BACKENDS[name].why_not():
        pytest.skip(f"{name}: {reason}")
    return BACKENDS[name]


def clips() -> np.ndarray:
    points = np.zeros((3, 4, 21, 3), np.float32)
    points[1, 2:, :, 0] = 0.5
    points[2, 2:, :, 0] = np.nan
    return points


@pytest.mark.parametrize("name", BACKENDS)
def test_each_says_whether_it_can_run_and_refuses_when_not(name: str) -> None:
    backend = BACKENDS[name]
    assert backend.name == name and backend.is_available() == (backend.why_not() == "")
    if backend.is_available():
        assert backend.version()[0].isdigit()
    else:
        with pytest.raises(MissingError) as caught:
            backend(b"anything")
        assert caught.value.what == backend.why_not() and caught.value.hint == backend.mend


@pytest.mark.parametrize("name", READS_ONNX)
def test_computes_the_graph_for_any_batch(name: str, graph: bytes) -> None:
    backend = available(name)(graph)
    for batch in (clips(), clips()[1:2]):
        expected = [[0, 0, 0], [-20, 0, 20], [0, 0, 0]] if len(batch) == 3 else [[-20, 0, 20]]
        np.testing.assert_allclose(backend(batch), expected, atol=1e-5)


@pytest.mark.parametrize("name", READS_ONNX)
def test_strangers_are_refused(name: str, graph: bytes, tmp_path: Path) -> None:
    backend = available(name)
    with pytest.raises(InputError, match="points do not fit the model") as caught:
        backend(graph)(np.zeros((1, 4, 22, 3), np.float32))
    assert caught.value.got == "(1, 4, 22, 3)"
    for model in (b"not onnx", tmp_path / "absent.onnx"):
        with pytest.raises(InputError, match="not a model"):
            backend(model)


@pytest.mark.parametrize(
    "options", [OrtOptions(buffers="bound"), OrtOptions(buffers="reused"), OrtOptions(arena=False)]
)
def test_options_change_nothing_that_is_computed(graph: bytes, options: OrtOptions) -> None:
    plain, tuned = OnnxRuntimeCpu(graph), OnnxRuntimeCpu(graph, threads=2, options=options)
    first = tuned(clips())
    kept = first.copy()
    for batch in (clips(), clips()[:1], clips()[::-1]):
        np.testing.assert_array_equal(tuned(batch), plain(batch))
    np.testing.assert_array_equal(first, kept, err_msg="an answer must not change with the next call")


def test_a_gpu_session_that_fell_back_is_refused(graph: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    session = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    fake = SimpleNamespace(
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        SessionOptions=lambda: SimpleNamespace(add_session_config_entry=lambda *_: None),
        InferenceSession=lambda *_, **__: session,
    )
    fake.__spec__ = object()
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)  # type: ignore[arg-type]
    assert OnnxRuntimeCuda.is_available()
    with pytest.raises(MissingError, match="CUDAExecutionProvider could not start"):
        OnnxRuntimeCuda(graph)


def test_litert_runs_a_batch_clip_by_clip() -> None:
    backend = available("litert")(Path(__file__).parent / "data" / "mean.tflite")
    points = np.random.default_rng(0).normal(size=(3, 8, 22, 3)).astype(np.float32)
    points[1, :, 4] = np.nan
    np.testing.assert_allclose(backend(points), np.nan_to_num(points).mean(axis=(1, 2)), atol=1e-6)
    with pytest.raises(InputError, match="points do not fit the model"):
        backend(points[:, :7])
    with pytest.raises(InputError, match="not a model that LiteRT can load"):
        available("litert")(b"not a model")
