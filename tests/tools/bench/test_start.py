"""`bench start`: fresh processes, timed up to what the real command says first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from last_edge.errors import EXIT_GATE, EXIT_INPUT
from last_edge.tools import cli
from last_edge.tools.bench import live


def test_the_first_label_of_the_real_command(make_bundle: Callable[..., Path]) -> None:
    taken, label = live.first_label(make_bundle(), "fp32")
    imported = live.import_seconds()
    assert taken.clock > 0 and taken.processor > imported.processor > 0 and label in ("left", "up", "away")


def test_median_slowest_and_limits(
    make_bundle: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def clocked() -> None:
        imports, labels = iter((0.1, 0.5, 0.2)), iter((0.7, 0.6, 2.0))
        monkeypatch.setattr(live, "import_seconds", lambda: live.Taken(next(imports), 0.05))
        monkeypatch.setattr(live, "first_label", lambda bundle, precision: (live.Taken(next(labels), 0.3), "left"))

    words = ["bench", "start", str(make_bundle()), "--repeats", "3", "--json"]
    clocked()
    assert cli.main([*words, "--max-import-ms", "200", "--out", str(tmp_path / "start.json")]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["import_ms"], record["import_slowest_ms"]) == (200, 500)
    assert (record["label_ms"], record["label_slowest_ms"], record["first_label"]) == (700, 2000, "left")
    assert (record["import_processor_ms"], record["label_processor_ms"]) == (50, 300)
    assert json.loads((tmp_path / "start.json").read_text()) == record
    for limit in ("--max-import-ms", "--max-label-ms"):
        clocked()
        assert cli.main([*words, limit, "199"]) == EXIT_GATE
        assert "takes too long" in capsys.readouterr().err
    assert cli.main(["bench", "start", str(tmp_path / "none")]) == EXIT_INPUT
