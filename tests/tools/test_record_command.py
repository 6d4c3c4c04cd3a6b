"""`last-edge record` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore
from last_edge.clips.append import append_clips
from last_edge.errors import EXIT_INPUT, EXIT_USAGE
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools import cli

HAND = get_layout("mediapipe_hand21")


@pytest.fixture
def hands(tmp_path: Path) -> str:
    """A source of one recording of two seconds."""
    points = np.random.default_rng(0).normal(size=(1, 61, 21, 3))
    clip = SkeletonClip.from_points(points, layout=HAND, fps=30, units="image01", source_id="one")
    append_clips(tmp_path / "hands", [clip])
    return f"store:{tmp_path / 'hands'}"


def test_takes_are_counted_by_label_and_person(hands: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(tmp_path / "mine")
    for label, subject in (("hello", "anna"), ("hello", "ben"), ("thanks", "anna")):
        words = ["record", store, "--source", hands, "--label", label, "--subject", subject, "--seconds", "0.5"]
        assert cli.main([*words, "--count", "3", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["kept"] == {"thanks": 3} and summary["clips"] == 9
    assert summary["counts"] == {"hello": {"anna": 3, "ben": 3}, "thanks": {"anna": 3}}
    assert cli.main(["record", store, "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted["counts"] == summary["counts"] and counted["sha256"] == ClipStore.open(Path(store)).sha256
    assert cli.main(["record", store]) == 0
    assert "thanks" in capsys.readouterr().out


def test_a_split_of_its_own_and_quiet(hands: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["record", str(tmp_path / "mine"), "--source", hands, "--label", "hello", "--split", "test", "--quiet"]
    assert cli.main(words) == 0
    told = capsys.readouterr()
    assert told.err == "" and "hello" in told.out
    assert ClipStore.open(tmp_path / "mine").index.split.tolist() == ["test"]


def test_nothing_there_and_no_label_says_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["record", str(tmp_path / "none")]) == EXIT_INPUT
    assert "last-edge record" in capsys.readouterr().err
    assert cli.main(["record", str(tmp_path / "none"), "--label", ""]) == EXIT_USAGE
