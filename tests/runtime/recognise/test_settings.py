"""A bundle's own settings: read strictly, used by what loads it, overruled by --threads."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from last_edge.bundle import Bundle, write_bundle
from last_edge.errors import InputError, UsageError
from last_edge.runtime.backends import BACKENDS, OnnxRuntimeCpu
from last_edge.runtime.backends.onnxruntime import OrtOptions
from last_edge.runtime.recognise import model as model_module
from last_edge.runtime.recognise.model import Settings, open_backend, settings_of
from last_edge.runtime.recogniser import Recogniser

MakeBundle = Callable[..., Path]
TUNED = Settings(2, OrtOptions(spin=True, arena=False, buffers="reused"))


@pytest.fixture
def tuned(make_bundle: MakeBundle) -> Path:
    path = make_bundle(frames=4)
    bundle = Bundle.open(path)
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    changed = dataclasses.replace(bundle.manifest, tuned={"fp32": {**TUNED.to_figures(), "p50_ms": 0.5}})
    write_bundle(path, changed, files=files, force=True)
    return path


def test_they_survive_the_manifest(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    manifest = Bundle.open(tuned).manifest
    assert settings_of(manifest, "fp32") == TUNED
    assert settings_of(manifest, "fp32", threads=1) == dataclasses.replace(TUNED, threads=1)
    assert settings_of(manifest, "int8") == Settings()
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert settings_of(manifest, "fp32").threads == 1, "a smaller device"
    assert TUNED.describe() == "spin, no arena, reused buffers" and Settings().describe() == ""


def test_what_loads_a_bundle_uses_them(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Settings] = []
    monkeypatch.setattr(model_module, "open_backend", lambda n, g, s: (used.append(s), open_backend(n, g, s))[1])
    points = np.zeros((1, 4, 21, 3), np.float32)
    assert Recogniser.open(tuned).backend(points).shape == (1, 3)
    Recogniser.open(tuned, threads=1)
    assert [settings.threads for settings in used] == [min(2, os.cpu_count() or 1), 1]
    assert {settings.options for settings in used} == {TUNED.options}


def test_any_backend_can_be_named(tuned: Path) -> None:
    assert isinstance(Recogniser.open(tuned, backend="onnxruntime-cpu").backend, OnnxRuntimeCpu)
    with pytest.raises(UsageError, match="unknown backend"):
        Recogniser.open(tuned, backend="openvin")
    if BACKENDS["openvino"].is_available():
        assert Recogniser.open(tuned, backend="openvino").backend.name == "openvino"
    with pytest.raises(InputError, match="nothing for litert") as caught:
        Recogniser.open(tuned, backend="litert")
    assert "litert.fp32.tflite" in str(caught.value.where) and "--target litert" in str(caught.value.hint)


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"threads": "2"}, {"buffers": "pinned"}, {"buffers": 1}])
def test_settings_of_no_known_kind_are_refused(tuned: Path, wrong: dict[str, int | str]) -> None:
    manifest = dataclasses.replace(Bundle.open(tuned).manifest, tuned={"fp32": {**TUNED.to_figures(), **wrong}})
    with pytest.raises(InputError, match="unknown settings in the manifest"):
        settings_of(manifest, "fp32")
