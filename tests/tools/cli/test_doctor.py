"""The doctor names what is missing and the command that mends it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from last_edge.errors import MissingError
from last_edge.tools.cli import doctor as checks
from last_edge.tools.cli.doctor import doctor, line
from last_edge.tools.cli.options import Screen

ROOT = Path(__file__).parents[3]


@pytest.fixture
def bare(monkeypatch: Any, tmp_path: Path) -> None:
    """A machine without landmark models and data; no check of the GPU, which loads torch."""
    monkeypatch.setenv("LAST_EDGE_CACHE", str(tmp_path))
    monkeypatch.setenv("LAST_EDGE_DATA", str(tmp_path))
    monkeypatch.setattr(checks, "_gpu", lambda: iter(()))


@pytest.mark.usefixtures("bare")
def test_missing_models_and_data_come_with_their_command(capsys: Any) -> None:
    doctor()
    lines = capsys.readouterr().out.splitlines()
    hand = next(text for text in lines if " hand:" in text)
    assert hand.startswith("  [missing]") and hand.endswith("last-edge models fetch hand")
    assert any("shrec17: not found" in text and "LAST_EDGE_DATA" in text for text in lines)


@pytest.mark.usefixtures("bare")
def test_json_is_one_object_with_every_check(capsys: Any) -> None:
    doctor(screen=Screen(json=True))
    content = json.loads(capsys.readouterr().out)
    assert content["ok"] is False
    assert {"Python", "Packages", "Landmark models", "Real data"} <= {check["group"] for check in content["checks"]}


@pytest.mark.usefixtures("bare")
def test_a_needed_package_that_is_missing_is_exit_5(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("last_edge.machine.installed", lambda name: None if name == "numpy" else "1.0")
    with pytest.raises(MissingError, match="numpy") as caught:
        doctor()
    assert caught.value.exit_code == 5
    assert "[missing] numpy: not installed  → pip install last-edge" in capsys.readouterr().out


@pytest.mark.usefixtures("bare")
def test_an_optional_package_that_is_missing_is_no_failure(monkeypatch: Any) -> None:
    monkeypatch.setattr("last_edge.machine.installed", lambda name: None if name == "mediapipe" else "1.0")
    doctor()


@pytest.mark.usefixtures("bare")
def test_fix_fetches_every_model(monkeypatch: Any) -> None:
    asked: list[str] = []
    monkeypatch.setattr("last_edge.runtime.landmarks.models.fetch", asked.append)
    doctor(fix=True)
    assert asked == ["hand", "hand_lite", "pose", "pose_lite", "pose_heavy", "holistic"]


def test_packages_that_are_checked_are_those_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for name, extra in checks.PACKAGES.items():
        declared = extras[extra] if extra else project["dependencies"]
        assert any(text.startswith(name) for text in declared), f"{name} is not in {extra or 'dependencies'}"


def test_line_of_a_check_that_holds_has_no_command() -> None:
    assert line(checks.Check("g", "numpy", True, "2.4", "pip install")) == "  [ok]      numpy: 2.4"


def test_every_backend_is_listed_with_what_brings_it() -> None:
    from last_edge.runtime.backends import BACKENDS

    found = {check.name: check for check in checks.all_checks() if check.group == "Backends"}
    assert set(found) == set(BACKENDS) and found["onnxruntime-cpu"].ok
    for name, check in found.items():
        assert check.ok == BACKENDS[name].is_available() and check.mend == BACKENDS[name].mend and not check.needed


def test_on_a_jetson_nothing_of_pypi_is_named_for_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("last_edge.machine.board", lambda: "NVIDIA Jetson Orin Nano Developer Kit")
    mends = {check.name: check.mend for check in checks.all_checks() if check.group == "Backends"}
    assert "for this JetPack" in mends["onnxruntime-cuda"] and "JetPack's own" in mends["tensorrt"]
    assert mends["openvino"] == "pip install 'last-edge[openvino]'"


@pytest.mark.parametrize(
    ("machine", "hint"), [("x86_64", "pip install 'last-edge[runtime]'"), ("aarch64", "--landmarks-by litert")]
)
def test_without_mediapipe_the_way_on_is_that_of_the_machine(
    machine: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("last_edge.machine.installed", lambda name: None)
    mends = {check.name: check.mend for check in checks._packages()}
    assert hint in mends["mediapipe"] and mends["onnxruntime"] == "pip install 'last-edge[runtime]'"


def test_the_last_line_says_what_this_installation_can_do() -> None:
    def found(*names: str) -> list[checks.Check]:
        return [checks.Check("Packages", name, True, "1.0") for name in names]

    device = [
        *found("onnxruntime", "mediapipe", "opencv-python"),
        checks.Check("Landmark models", "hand", True, "here"),
    ]
    assert checks.verdict(device) == (
        "This machine can run bundles, find landmarks in images; not: see through a camera, train and teach, "
        "export and quantise."
    )
    assert checks.verdict([]).startswith("This machine can do nothing yet; not: run bundles")
