"""`bench live`: recordings at their own rate, what each stage took, and a page that says how it was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips.writer import append_clips
from last_edge.errors import EXIT_GATE, EXIT_INPUT, EXIT_USAGE
from last_edge.runtime.pipeline.pipeline import STAGES, StageTiming, Stopwatch, Timings
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools import cli
from last_edge.tools.bench.live import LiveRecord, live_sources, to_markdown
from last_edge.tools.bench.record import load_records

MakeBundle = Callable[..., Path]
HAND = get_layout("shrec22")


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A recording of half a second, as a source."""
    points = np.random.default_rng(0).normal(size=(1, 16, 22, 3))
    append_clips(tmp_path / "hand", [SkeletonClip.from_points(points, layout=HAND, fps=30, units="metres")])
    return f"store:{tmp_path / 'hand'}"


@pytest.fixture
def pose(tmp_path: Path) -> str:
    """A recording of joints that no hand bundle can take."""
    layout = get_layout("kinect20")
    points = np.random.default_rng(0).normal(size=(1, 16, 20, 3))
    append_clips(tmp_path / "body", [SkeletonClip.from_points(points, layout=layout, fps=30, units="metres")])
    return f"store:{tmp_path / 'body'}"


def test_every_stage_of_every_source_and_a_reason_where_one_does_not_fit(
    make_bundle: MakeBundle, source: str, pose: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "live.json"
    words = ["bench", "live", str(make_bundle()), "--source", source, "--source", pose, "--quiet", "--json"]
    assert cli.main([*words, "--out", str(out), "--out", str(tmp_path / "live.md")]) == 0
    played, refused = load_records(out, LiveRecord)
    assert [json.loads(capsys.readouterr().out)[0]["captured"], played.captured] == [16, 16]
    assert set(played.timings_ms) == set(STAGES) and set(played.waiting) == set(STAGES[1:])
    assert played.frames + sum(played.dropped.values()) == 16 and played.seconds >= 0.5
    busy = played.timings_ms["recognise"].busy + played.timings_ms["present"].busy
    assert played.ours == pytest.approx(100 * busy * 30 / 1000, abs=0.01)
    assert refused.refused and refused.captured == 0
    page = (tmp_path / "live.md").read_text()
    assert f"| {played.source} | int8 | – | 16 |" in page and refused.refused in page
    assert cli.main([*words, "--out", str(out)]) == EXIT_USAGE


def test_records_are_joined_without_playing_anything(
    make_bundle: MakeBundle, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "live.json"
    assert cli.main(["bench", "live", str(make_bundle()), "--source", source, "--out", str(out), "--quiet"]) == 0
    page = tmp_path / "page.md"
    assert cli.main(["bench", "live", "--join", str(out), "--join", str(out), "--out", str(page)]) == 0
    rows = load_records(out, LiveRecord)
    assert page.read_text() == to_markdown([*rows, *rows])
    out.write_text("[{}]")
    assert cli.main(["bench", "live", "--join", str(out)]) == EXIT_INPUT


def test_too_large_a_share_of_a_frame_is_a_failed_gate(
    make_bundle: MakeBundle, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "live", str(make_bundle()), "--source", source, "--quiet", "--max-ours"]
    assert cli.main([*words, "100"]) == 0
    assert cli.main([*words, "0"]) == EXIT_GATE
    assert "too much of a frame" in capsys.readouterr().err


def test_calls_that_cannot_work_say_why(
    make_bundle: MakeBundle, pose: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(make_bundle())
    assert cli.main(["bench", "live"]) == EXIT_USAGE
    assert cli.main(["bench", "live", bundle]) == EXIT_USAGE
    assert cli.main(["bench", "live", bundle, "--source", pose, "--out", str(tmp_path / "live.txt")]) == EXIT_USAGE
    assert cli.main(["bench", "live", bundle, "--source", pose, "--quiet"]) == EXIT_USAGE
    assert cli.main(["bench", "live", bundle, "--source", str(tmp_path / "none.mp4"), "--quiet"]) == EXIT_INPUT


def test_a_folder_of_recordings_is_played_file_by_file(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.pose", "notes.txt"):
        (tmp_path / name).touch()
    assert live_sources([str(tmp_path), "synthetic"]) == [
        str(tmp_path / "a.pose"),
        str(tmp_path / "b.mp4"),
        "synthetic",
    ]
    (tmp_path / "empty").mkdir()
    assert cli.main(["bench", "live", str(tmp_path), "--source", str(tmp_path / "empty"), "--quiet"]) == EXIT_INPUT


def test_waiting_is_not_being_busy() -> None:
    timings = Timings(("work",))
    for _ in range(3):
        watch = Stopwatch()
        watch._began -= 0.5  # as if the clock had run on while the thread waited
        timings.add("work", watch, into={})
    figures = timings.summary()["work"]
    assert isinstance(figures, StageTiming) and figures.n == 3
    assert figures.mean >= figures.p50 - 1 > 400 and figures.busy < 100
