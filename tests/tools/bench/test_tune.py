"""`bench tune` keeps settings that win twice, in a bundle that stays whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.card import render_card
from last_edge.runtime.backends.onnxruntime import OrtOptions
from last_edge.runtime.recognise.model import Settings, settings_of
from last_edge.timing import Latency
from last_edge.tools.bench import tune
from last_edge.tools.bench.subjects import Subject
from last_edge.tools.bench.tune import TuneOptions, candidates, keep, tune_bundle

REUSED = Settings(1, OrtOptions(buffers="reused"))
Costs = dict[Settings, tuple[float, float]]


def clocked(monkeypatch: pytest.MonkeyPatch, costs: Costs) -> list[int]:
    """Settings cost what is given, first in the search and then again; all others 1 ms."""
    asked: list[int] = []

    def time(subject: Subject, tried: Sequence[Settings], schedule: object) -> list[Latency]:
        asked.append(len(tried))
        again = len(asked) % 2 == 0
        return [Latency(costs.get(settings, (1.0, 1.0))[again], 2.0, 2.0, 10) for settings in tried]

    monkeypatch.setattr(tune, "_time", time)
    return asked


def test_what_is_tried() -> None:
    tried = candidates(TuneOptions(threads=(1, 2)))
    assert tried[0] == Settings() and len(tried) == len(set(tried)) == 2 * 2 * 3
    assert not any(settings.options.spin for settings in tried)
    spun = [settings for settings in candidates(TuneOptions(threads=(1, 2), spin=True)) if settings.options.spin]
    assert len(spun) == 2 * 3 and {settings.threads for settings in spun} == {2}


def test_the_fastest_is_kept_where_it_wins_again(make_bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bundle()
    asked = clocked(monkeypatch, {REUSED: (0.5, 0.6)})
    found = tune_bundle(path, TuneOptions(threads=(1,)))
    assert [(result.precision, result.chosen, result.p50_ms, result.usual_ms) for result in found] == [
        ("fp32", REUSED, 0.6, 1.0),
        ("int8", REUSED, 0.6, 1.0),
    ]
    assert asked == [6, 2, 6, 2]
    before = Bundle.open(path)
    keep(path, found)
    bundle = Bundle.open(path)
    assert settings_of(bundle.manifest, "int8") == REUSED
    assert bundle.manifest.tuned["int8"]["usual_p50_ms"] == 1.0
    assert bundle.graph("int8") == before.graph("int8")
    card = render_card(bundle.manifest, bundle.contents)
    assert bundle.read("card.md").decode() == card and "| int8 | 1 | 0 | 1 | reused | 0.6 | 1.0 |" in card


@pytest.mark.parametrize("again", [0.99, 1.2])
def test_a_win_that_does_not_repeat_leaves_the_usual_settings(
    make_bundle: Any, monkeypatch: pytest.MonkeyPatch, again: float
) -> None:
    path = make_bundle(tuned={"fp32": REUSED.to_figures()})
    clocked(monkeypatch, {REUSED: (0.5, again)})
    found = tune_bundle(path, TuneOptions(threads=(1,), precisions=("fp32",)))
    assert (found[0].chosen, found[0].p50_ms) == (Settings(), 1.0)
    assert keep(path, found).tuned == {}, "older settings that no longer win go"


def test_the_command_measures_and_writes(make_bundle: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from last_edge.tools.cli.bench import tune as command
    from last_edge.tools.cli.options import Screen

    path: Path = make_bundle()
    before = (path / "manifest.json").read_bytes()
    command(path, precision=["int8"], threads=[1], dry_run=True, screen=Screen(json=True))
    said = json.loads(capsys.readouterr().out)
    assert said["kept"] is False and (path / "manifest.json").read_bytes() == before
    (row,) = said["rows"]
    assert row["precision"] == "int8" and row["tried"] == 6 and 0 < row["p50_ms"] <= row["usual_p50_ms"] * 1.0001
    command(path, precision=["int8"], threads=[1], screen=Screen(json=True))
    assert json.loads(capsys.readouterr().out)["kept"] is True
    assert Bundle.open(path).precisions == ("fp32", "int8")
