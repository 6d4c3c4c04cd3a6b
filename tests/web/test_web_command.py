"""`last-edge web` on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from last_edge.runtime.web.packages import PACKAGES
from last_edge.tools.cli import main
from tests.conftest import MakeBundle


@pytest.mark.usefixtures("offline")
def test_export_as_json(make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, out = make_bundle(), tmp_path / "site"
    assert main(["web", str(bundle), "--export", str(out), "--json", "--quiet"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["export"] == str(out) and said["landmarks"] == "hand" and said["precisions"] == ["fp32"]
    assert said["bytes"] == sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    assert main(["web", str(bundle), "--export", str(out)]) == 2
    assert main(["web", str(bundle), "--export", str(out), "--force", "--quiet"]) == 0


@pytest.mark.usefixtures("offline")
def test_dry_run_tells_what_would_be_fetched_and_writes_nothing(
    make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, before = make_bundle(), sorted(tmp_path.rglob("*"))
    assert main(["web", str(bundle), "--dry-run", "--json", "--export", str(tmp_path / "site")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["fetch"] == [f"{package.name}@{package.version}" for package in PACKAGES]
    assert sorted(tmp_path.rglob("*")) == before


def test_no_bundle_is_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["web", str(tmp_path / "absent"), "--no-open"]) == 3
    assert "no bundle here" in capsys.readouterr().err


def test_without_landmark_model_names_the_command(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAST_EDGE_CACHE", str(tmp_path / "cache"))
    assert main(["web", str(make_bundle()), "--no-open"]) == 5
    assert "last-edge models fetch hand" in capsys.readouterr().err


# Ctrl-C is ignored by what a script starts in the background, and so it would be here.
SERVE = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from last_edge.runtime.web import site
site.fetch = lambda package: None
site.read_package = lambda package: {name: b"" for name in package.files}
from last_edge.tools.cli import main
sys.exit(main(["web", sys.argv[1], "--port", "0", "--no-open", "--json", "--quiet"]))
"""


def test_serves_until_interrupted(make_bundle: MakeBundle) -> None:
    bundle = make_bundle(layout="hololens26", units="metres")
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(bundle)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(url + "site.json", timeout=10) as answer:
            assert json.load(answer)["name"] == "tiny"
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=10) == 0
