"""`last-edge run` as a user types it: stdout, stderr, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from last_edge.tools.cli import models, run
from last_edge.tools.register import register

MakeBundle = Callable[..., Path]


def call(*arguments: str) -> Result:
    app = typer.Typer()
    register(app, {"run": run.run, "fetch": models.fetch})
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_run_prints_one_object_on_stdout_and_events_on_stderr(make_bundle: MakeBundle, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    bundle = str(make_bundle())
    done = call("run", bundle, "--source", "synthetic", "--events", str(events), "--no-window", "--json")
    summary = json.loads(done.stdout)
    assert done.exit_code == 0 and summary["frames"] == 300
    assert len(done.stderr.splitlines()) == summary["events"] > 0
    assert [json.loads(line)["type"] for line in events.read_text().splitlines()].count("frame") == 300


def test_run_for_people_is_a_table_and_quiet_is_quiet(make_bundle: MakeBundle) -> None:
    done = call("run", str(make_bundle()), "--source", "synthetic", "--limit", "40", "--no-window", "--quiet")
    assert "40 frames" in done.stdout.replace("\n", " ") and "recognise" in done.stdout
    assert done.stderr == ""


def test_wrong_options_are_a_usage_error(make_bundle: MakeBundle) -> None:
    assert call("run", str(make_bundle()), "--source", "synthetic", "--precision", "fp64").exit_code == 2
    assert call("run").exit_code == 2
    assert call("fetch", "feet").exit_code == 2


def test_fetch_knows_verbose() -> None:
    assert "--verbose" in call("fetch", "--help").stdout
