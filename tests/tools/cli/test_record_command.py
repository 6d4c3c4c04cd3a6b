"""`last-edge record` as a user types it."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore
from last_edge.clips.writer import append_clips
from last_edge.errors import EXIT_INPUT, EXIT_MISSING, EXIT_USAGE
from last_edge.runtime.pipeline import feed
from last_edge.runtime.pipeline.pipeline import Pipeline
from last_edge.runtime.record import session as sessions
from last_edge.runtime.record.journal import Journal
from last_edge.runtime.sources import Frame, Source
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


def test_a_full_disk_ends_the_session_and_keeps_what_was_whole(
    hands: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add, room = Journal.add, iter((True, True, False))

    def fill(journal: Journal, clip: SkeletonClip) -> None:
        if not next(room):
            raise OSError(errno.ENOSPC, "No space left on device", str(journal.folder))
        add(journal, clip)

    words = ["record", str(tmp_path / "mine"), "--source", hands, "--label", "hello", "--seconds", "0.5"]
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", fill)
        assert cli.main(words) == EXIT_INPUT
    assert "No space left" in capsys.readouterr().err
    assert cli.main(["record", str(tmp_path / "mine"), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["clips"] == 2 and "2 takes of a session that was cut off" in told.err


def test_a_camera_that_is_unplugged_leaves_its_takes_and_exit_code_5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Camera(Source):
        """Hands for two seconds, then nothing."""

        name, fps, layout, units, live = "cam:0", 30.0, HAND, "image01", True

        def __iter__(self) -> Iterator[Frame]:
            for index in range(61):
                yield Frame(index, index / 30, points=np.full((1, 21, 3), index, np.float32))
            self.lost = "cam:0 is gone: 3 tries in 1 s"

    monkeypatch.setattr(feed, "open_source", lambda text, layout, images: Camera())
    monkeypatch.setattr(sessions, "Pipeline", lambda *given, **named: Pipeline(*given, **{**named, "live": False}))
    words = ["record", str(tmp_path / "mine"), "--label", "hello", "--no-window", "--seconds", "0.5"]
    assert cli.main([*words, "--count-down", "0.1", "--json"]) == EXIT_MISSING
    told = capsys.readouterr()
    assert "the source is lost" in told.err and json.loads(told.out)["lost"].startswith("cam:0 is gone")
    assert len(ClipStore.open(tmp_path / "mine")) == 3


def test_nothing_there_and_no_label_says_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["record", str(tmp_path / "none")]) == EXIT_INPUT
    assert "last-edge record" in capsys.readouterr().err
    assert cli.main(["record", str(tmp_path / "none"), "--label", ""]) == EXIT_USAGE
