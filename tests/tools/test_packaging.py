"""What is packaged, what the Makefile and the checks call, and how light the command line is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = ("train", "distill", "export", "runtime", "tools")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.findall(r"^([a-z-]+):.*## ", MAKEFILE, flags=re.MULTILINE)


def package_name(folder: Path) -> str:
    parts = folder.relative_to(ROOT).parts
    return ".".join(parts if parts[0] == "last_edge" else ("last_edge", *parts))


def test_packages_are_the_folders_that_hold_code() -> None:
    folders = {
        file.parent
        for room in ("last_edge", *STAGES)
        for file in (ROOT / room).rglob("__init__.py")
        if not any(parent.is_symlink() for parent in file.parents)
    }
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(map(package_name, folders))


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {file.parent for room in ("last_edge", *STAGES) for file in (ROOT / room).rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("stage", STAGES)
def test_stage_is_one_folder_under_two_names(stage: str) -> None:
    link = ROOT / "last_edge" / stage
    assert link.readlink() == Path("..", stage)
    assert PROJECT["tool"]["setuptools"]["package-dir"][f"last_edge.{stage}"] == stage


def test_data_files_of_packages_exist() -> None:
    for package, patterns in PROJECT["tool"]["setuptools"]["package-data"].items():
        folder = ROOT.joinpath(*package.split("."))
        assert all(list(folder.glob(pattern)) for pattern in patterns), package


@pytest.mark.parametrize("arguments", [["--help"], ["bench", "--help"], ["recipes", "--help"], ["--version"]])
def test_command_line_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom last_edge.tools.cli import main\n"
        f"code = main({arguments!r})\n"
        "heavy = {'torch', 'numpy', 'onnx', 'onnxruntime', 'mediapipe', 'cv2', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(code or ' '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_absent_package_is_exit_5_and_names_the_extra() -> None:
    code = (
        "import sys\nsys.modules.update(torch=None)\nfrom last_edge.tools.cli import main\n"
        "sys.exit(main(['train', '--store', 'nowhere', '--out', 'nowhere']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "pip install 'last-edge[train]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("module", "extra"), [("cv2.dnn", "runtime"), ("torch.nn", "train"), ("unheard_of", "")])
def test_extra_that_brings_a_module(module: str, extra: str) -> None:
    from last_edge.tools.cli.doctor import extra_of

    assert extra_of(module) == extra


def test_ci_calls_targets_that_exist() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    called = re.findall(r"^make ([a-z-]+)", script, flags=re.MULTILINE)
    assert {"test", "lint", "type", "demo"} <= set(called) <= set(TARGETS)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


def test_makefile_calls_commands_that_exist() -> None:
    from typer.main import get_command

    from last_edge.tools.cli import application

    known = set(get_command(application()).commands)  # type: ignore[attr-defined]
    called = set(re.findall(r"\$\(CLI\) ([a-z]+)", MAKEFILE))
    assert called <= known
    assert {"train", "distill", "export", "quantize", "bench", "report", "run", "verify"} <= called


def test_make_shows_every_target_and_each_plan_holds_together() -> None:
    shown = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    assert all(f"  {target} " in shown for target in TARGETS)
    plan = ["make", "-C", ROOT, "--dry-run", "--no-print-directory", "report", "NAME=never_made"]
    commands = subprocess.run(plan, capture_output=True, text=True, check=True).stdout
    stages = ["data synth", "train --model", "distill --teacher", "export runs", "quantize", "bench", "report runs"]
    places = [commands.index(f"last-edge {stage}") for stage in stages]
    assert places == sorted(places)


def test_make_says_which_store_is_absent() -> None:
    plan = ["make", "-C", ROOT, "--dry-run", "--no-print-directory", "teacher", "NAME=never_made", "STORE=nowhere"]
    commands = subprocess.run(plan, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "no clip store at STORE=nowhere" in commands[0] and commands[0].endswith("exit 3")


def test_lint_and_types_of_ci_are_those_of_a_commit() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    for tool in ("ruff check", "ruff format", "lint-imports", "mypy"):
        assert f".venv/bin/{tool}" in hooks
        assert f"$(BIN)/{tool}" in MAKEFILE


def test_no_file_tells_pip_where_to_look() -> None:
    for name in ("pyproject.toml", "Makefile", ".ci/run"):
        assert not re.search(r"find-links|index-url|--index", (ROOT / name).read_text()), name
