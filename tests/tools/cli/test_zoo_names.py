"""A name of the zoo stands wherever a command takes a bundle."""

from __future__ import annotations

import json

import pytest

from last_edge.errors import EXIT_INPUT
from last_edge.tools import cli

NAME = "last_lite_nano_shrec14"


@pytest.mark.parametrize(
    "words",
    [
        ["run", NAME, "--source", "synthetic", "--no-window", "--limit", "20", "--json"],
        ["verify", NAME, "--json"],
        ["bench", NAME, "--repeats", "1", "--calls", "1", "--no-memory", "--json"],
        ["parity", NAME, "--json"],
        ["web", NAME, "--dry-run", "--json"],
    ],
)
def test_commands_take_names(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("command", ["run", "verify", "bench", "parity", "web", "engine"])
def test_an_unknown_name_is_answered_with_the_nearest(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = ["--source", "synthetic"] if command == "run" else []
    assert cli.main([command, "last_lite_nano_shrek14", *source]) == EXIT_INPUT
    assert f"did you mean {NAME}" in capsys.readouterr().err
