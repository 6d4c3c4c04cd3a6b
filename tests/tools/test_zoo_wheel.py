"""The zoo's wheel in a fresh environment: installed by pip, found by its names, nothing of the checkout beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.tools.zoo_wheel import build

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_pip_installs_it_and_a_name_of_it_runs(tmp_path: Path) -> None:
    wheel = build(ROOT / "zoo", tmp_path / "dist")
    venv.create(tmp_path / "env", with_pip=False, system_site_packages=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    install = ["-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet", str(wheel)]
    subprocess.run([sys.executable, *install], check=True)
    # The package itself as a wheel would lay it out: no checkout above it, so no `zoo` of one.
    shutil.copytree(
        ROOT / "last_edge", site / "last_edge", symlinks=False, ignore=shutil.ignore_patterns("__pycache__")
    )
    beside = next(Path(sys.prefix, "lib").glob("python*")) / "site-packages"
    (site / "beside.pth").write_text(f"{beside}\n")
    (tmp_path / "home").mkdir()
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LAST_EDGE_ZOO")}

    def call(*words: str) -> str:
        code = "import sys\nfrom last_edge.tools.cli import main\nsys.exit(main(sys.argv[1:]))"
        done = subprocess.run(
            [str(python), "-c", code, *words],
            cwd=tmp_path / "home",
            env=clean,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    names = {path.name for path in (ROOT / "zoo").iterdir()}
    assert {row["name"] for row in json.loads(call("zoo", "ls", "--json"))} == names
    name = sorted(names)[0]
    played = json.loads(call("run", name, "--source", "synthetic", "--limit", "10", "--no-window", "--json"))
    assert played["frames"] == 10
    call("zoo", "get", name, "--out", "mine", "--quiet")
    assert Bundle.open(tmp_path / "home" / "mine").contents == Bundle.open(ROOT / "zoo" / name).contents
