"""LiteRT files: converted from the run where litert-torch is, run where ai-edge-litert is, judged as every backend."""

from __future__ import annotations

import shutil
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.clips.store import ClipStore
from last_edge.errors import GateError, InputError, MissingError, UsageError
from last_edge.export.proof.parity import check_cells, parity_matrix
from last_edge.export.proof.verify import verify_bundle
from last_edge.export.targets import deploy
from last_edge.export.targets.deploy import NAME, add_litert, add_targets, to_litert
from last_edge.runtime.backends.litert import LiteRT

MEAN = Path(__file__).parents[2] / "runtime" / "backends" / "data" / "mean.tflite"
pytestmark = pytest.mark.skipif(not LiteRT.is_available(), reason=LiteRT.why_not())
needs_converter = pytest.mark.skipif(bool(deploy.why_not()), reason=deploy.why_not())


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "b"))


@pytest.fixture
def fake_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A converter that gives every model the mean of its points."""
    module = ModuleType("litert_torch")
    module.__spec__ = ModuleSpec("litert_torch", None)
    converted = SimpleNamespace(export=lambda file: Path(file).write_bytes(MEAN.read_bytes()))
    module.convert = lambda model, example: converted  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "litert_torch", module)


@pytest.mark.usefixtures("fake_converter")
def test_a_file_that_computes_something_else_never_gets_in(
    bundle: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "LiteRT", lambda content: lambda points: np.zeros((len(points), 3), np.float32))
    with pytest.raises(GateError, match="differs from its model"):
        add_litert(bundle, run)
    assert NAME not in Bundle.open(bundle).manifest.files


@pytest.mark.usefixtures("fake_converter")
def test_a_file_that_holds_is_a_file_of_the_bundle(bundle: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = Bundle.open(bundle).golden.logits["torch"]
    monkeypatch.setattr(deploy, "LiteRT", lambda content: lambda points: golden + np.float32(1e-6))
    assert add_targets(bundle, run, ["litert"], store=None, split="test", threads=1) == {"litert": {"file": NAME}}
    assert Bundle.open(bundle).read(NAME) == MEAN.read_bytes()
    assert all(check.holds for check in verify_bundle(bundle))
    with pytest.raises(UsageError, match="the bundle has this file"):
        add_litert(bundle, run)
    cells = {cell.precision: cell for cell in parity_matrix(bundle, ["litert"])}
    assert cells["fp32"].holds is False, "the file itself takes other points than the bundle"


def test_without_the_converter_it_is_exit_5(bundle: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "has_module", lambda name: False)
    with pytest.raises(MissingError, match="litert-torch is not installed"):
        add_litert(bundle, run)


@needs_converter
def test_the_converted_file_gives_the_models_logits(bundle: Path, run: Path, store: ClipStore) -> None:
    add_litert(bundle, run)
    cells = [cell for cell in parity_matrix(bundle, ["litert"], store=store, run=run) if cell.precision == "fp32"]
    check_cells(cells, where=bundle)
    assert [(cell.on, cell.agreement) for cell in cells] == [("golden", 100.0), ("test", 100.0)]


@needs_converter
def test_what_cannot_be_converted_is_bad_input() -> None:
    from torch import nn

    from tests.export.conftest import SPEC

    with pytest.raises(InputError, match="cannot convert"):
        to_litert(nn.Linear(2, 2), SPEC)  # type: ignore[arg-type]
