"""`run --events -`: what a program that reads stdout gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from last_edge.tools.cli import main

BUNDLE = Path(__file__).parents[2] / "zoo" / "last_lite_nano_shrec14"


def test_events_alone_go_to_stdout(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    often = ["--no-reject", "--threshold", "0.3"]
    command = ["run", str(BUNDLE), "--source", "synthetic", "--no-window", "--limit", "300", *often]
    assert main([*command, "--events", str(tmp_path / "all.jsonl")]) == 0
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    expected = [line for line in lines if line["type"] == "event"]
    capsys.readouterr()
    assert main([*command, "--events", "-"]) == 0
    got = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(event["label"], event["start_s"], event["end_s"], event["score"]) for event in got] == [
        (event["label"], event["start_s"], event["end_s"], event["probability"]) for event in expected
    ]
    assert got and not Path("-").exists()
