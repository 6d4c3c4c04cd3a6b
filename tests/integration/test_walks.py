"""Four readers, each with one page and nothing else: what they would type, in an empty folder, taken from the page.

A maker, a researcher with a data set, an engineer who ships to a board, someone who changes the code. What needs a
camera, a board or the network is left out; trainings have two epochs. `test_quickstart` walks from a wheel and with
recordings.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.pages import ROOT, python, section_of, shell

PROGRAMS = f"""
last-edge() {{ "{sys.executable}" -m last_edge.tools.cli "$@"; }}
python() {{ "{sys.executable}" "$@"; }}
"""
SHORT = " --epochs 2"


def walk(lines: Sequence[str], folder: Path) -> str:
    """What the lines of a page print, typed one after the other in a folder; each must end well."""
    assert lines
    (folder / "zoo").symlink_to(ROOT / "zoo")
    (folder / "examples").symlink_to(ROOT / "examples")
    words = ["bash", "-ec", PROGRAMS + "\n".join(lines)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def labels_of(printed: str) -> list[str]:
    """The labels of the events among what was printed."""
    return [json.loads(line)["label"] for line in printed.splitlines() if line.startswith('{"label"')]


def test_the_first_page_shows_gestures_without_a_camera(tmp_path: Path) -> None:
    lines = [line for line in shell("docs/index.md", "LAST-Edge") if "--source samples" in line]
    assert len(labels_of(walk([f"{line} --no-window --events -" for line in lines], tmp_path))) >= 10


@pytest.mark.slow
def test_a_maker_teaches_signs_without_a_camera(tmp_path: Path) -> None:
    lines = shell("docs/quickstart.md", "Without a camera")
    again = [line for line in shell("docs/quickstart.md", "Again, and better") if line.startswith("last-edge teach")]
    printed = walk([*lines, *again], tmp_path)
    assert printed.count("takes right") >= 2
    for file in re.findall(r"`(lamp/[\w/]+\.md)`", section_of("docs/quickstart.md", "Without a camera")):
        assert (tmp_path / file).read_text()


def write_recordings(folder: Path) -> None:
    """Three motions of the page's sensor, by four people, as the page says that files look; its layout beside them."""
    page = section_of("docs/data.md", "A sensor of your own")
    (layout,) = re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)
    joints = len(json.loads(layout)["names"])
    random, rest = np.random.default_rng(0), np.linspace(0, 0.1, joints)[:, None] * [1.0, 2.0, 0.0]
    clips, labels, subjects = [], [], []
    for number in range(72):
        motion, length = number % 3, int(random.integers(20, 40))
        path = np.zeros((length, 1, 3))
        path[:, 0, motion] = 0.3 * np.sin(np.linspace(0, np.pi, length))
        clips.append(rest + path + random.normal(0, 0.005, (length, joints, 3)))
        labels.append(("right", "up", "push")[motion])
        subjects.append(("anna", "ben", "cleo", "dora")[number // 18])
    (folder / "my_recordings").mkdir()
    (folder / "my_sensor.json").write_text(layout)
    lengths, frames = [len(clip) for clip in clips], np.concatenate(clips).astype(np.float32)
    file = folder / "my_recordings" / "all.npz"
    np.savez(file, frames=frames, lengths=lengths, labels=labels, subjects=subjects)


@pytest.mark.slow
def test_a_researcher_compares_two_models_on_recordings_of_a_sensor(tmp_path: Path) -> None:
    write_recordings(tmp_path)
    trained = shell("docs/data.md", "Train two models and compare them")
    lines = [line + SHORT * line.startswith("last-edge train") for line in trained]
    printed = walk([*shell("docs/data.md", "A sensor of your own"), *lines], tmp_path)
    assert "72 clips (18 test, 54 train)" in printed and "failed" not in printed
    assert re.search(r"^difference above \S+: [+-]\d+\.\d\d points \(.*, 18 clips: ", printed, flags=re.MULTILINE)


def test_an_engineer_reads_the_onnx_page(tmp_path: Path) -> None:
    clip, check = (f"python - <<'END'\n{block}END" for block in python("docs/onnx_contract.md"))
    (example,) = (
        line for line in shell("docs/onnx_contract.md", "The ONNX file, without our code") if line.startswith("python ")
    )
    printed = walk([clip, example, check], tmp_path).splitlines()
    assert [re.fullmatch(r"0\.\d+ [a-z -]+", line) is not None for line in printed[:3]] == [True] * 3


def test_an_engineer_looks_at_the_service_before_it_is_installed(tmp_path: Path) -> None:
    (line,) = (line for line in shell("docs/boards.md", "As a service") if line.startswith("last-edge "))
    printed = walk([line.replace(" -- ", " --dry-run -- ")], tmp_path)
    assert "ExecStart=" in printed and "--landmarks-every 2" in printed and "WatchdogSec=30" in printed


def test_what_somebody_changes_is_where_the_page_says() -> None:
    """Each path exists, and "`NAME` of `path`" is a table in that file. `test_architecture` holds the other page."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"`((?:last_edge|runtime|tools|tests|docs)/[\w/.]*)`", text))
    assert len(paths) >= 8 and [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    tables = re.findall(r"`([A-Z]+)` of\s+`([\w/]+\.py)`", text)
    assert [name for name, _ in tables] == ["READERS", "ALL", "KINDS", "COMMANDS"]
    for name, path in tables:
        nodes = [node for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.AnnAssign)]
        assert name in {ast.unparse(node.target) for node in nodes}, path
