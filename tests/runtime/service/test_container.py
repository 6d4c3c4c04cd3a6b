"""The Dockerfile: what it copies is there, what it runs exists, and nobody in it is root. Built where a builder is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "Dockerfile").read_text()
LINES = [line for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
STEPS = [tuple(line.split(maxsplit=1)) for line in LINES]
IGNORED = (ROOT / ".dockerignore").read_text().split()
INSTRUCTIONS = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT", "CMD"}


def has_builder() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def test_the_last_stage_is_slim_and_nobodys_but_edges() -> None:
    assert {name for name, _ in STEPS} <= INSTRUCTIONS
    bases = [text.split()[0] for name, text in STEPS if name == "FROM"]
    assert all(re.fullmatch(r"python:3\.1[1-4]-slim-\w+", base) for base in bases)
    users = [text for name, text in STEPS if name == "USER"]
    after = STEPS[max(place for place, (name, _) in enumerate(STEPS) if name == "USER") + 1 :]
    assert users[-1] == "edge" and not any("useradd" in text or "apt-get" in text for _, text in after)
    assert json.loads(dict(STEPS)["ENTRYPOINT"]) == ["last-edge"]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    for name, text in STEPS:
        if name == "COPY" and not text.startswith("--from"):
            source = text.split()[0]
            assert (ROOT / source).exists() and source not in IGNORED
    # What the wheel is made of goes along.
    assert not {"last_edge", "runtime", "tools", "export", "train", "distill", "README.md", "LICENSE"} & set(IGNORED)


def test_its_commands_and_its_extra_exist() -> None:
    from typer.main import get_command

    from last_edge.tools.cli import application

    known = set(get_command(application()).commands)  # type: ignore[attr-defined]
    assert {*re.findall(r"last-edge (\w+) \w+ hand", TEXT), *json.loads(dict(STEPS)["CMD"])} <= known
    (extra,) = re.findall(r"\.whl\)\[([\w-]+)\]", TEXT)
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not has_builder(), reason="no Docker daemon here")
def test_the_image_is_built_and_runs() -> None:
    subprocess.run(["docker", "build", "--tag", "last-edge-test", str(ROOT)], check=True)
    words = ["docker", "run", "--rm", "last-edge-test", "verify", "last_lite_nano_shrec14"]
    assert subprocess.run(words, check=False).returncode == 0
