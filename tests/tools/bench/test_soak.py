"""The soak: a slope in MB an hour through what a process held, warming up left out, and a limit on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips.writer import writing_store
from last_edge.errors import EXIT_GATE, EXIT_USAGE
from last_edge.runtime.pipeline.run import RunOptions
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools import cli
from last_edge.tools.bench import live
from last_edge.tools.bench.live import STATM, MemoryWatch, by_minute, settle, slope

HAND, SIZE = get_layout("shrec22"), 64 * 2**20
linux = pytest.mark.skipif(not STATM.exists(), reason="this system does not tell what a process holds")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """One clip of a second."""
    with writing_store(tmp_path / "store", layout=HAND, units="metres", labels=("left",)) as writer:
        points = np.zeros((1, 30, 22, 3), np.float32)
        writer.add(SkeletonClip.from_points(points, layout=HAND, fps=30, units="metres", label="left"))
    return tmp_path / "store"


def test_slope_is_that_of_a_line_and_nothing_of_a_moment() -> None:
    line = [(second, 100 + second / 1800) for second in range(0, 1800, 2)]
    assert slope(line) == pytest.approx(2.0)
    wobbly = [(second, 100 + (0.4 if index % 2 else -0.4)) for index, (second, _) in enumerate(line)]
    assert abs(slope(wobbly)) < 0.01
    assert slope(line[:1]) == 0.0


def test_a_third_but_never_more_than_five_minutes_counts_as_warming_up() -> None:
    assert settle([(float(second), 0.0) for second in range(31)])[0][0] == 10
    assert settle([(float(second), 0.0) for second in range(3601)])[0][0] == 300


def test_minutes_tell_what_settles_from_what_grows() -> None:
    assert by_minute([(0.0, 10.0), (30.0, 12.0), (60.0, 12.5), (130.0, 12.5)]) == (11.0, 12.5, 12.5)


@linux
def test_what_a_closing_run_frees_is_no_part_of_the_slope(
    make_bundle, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two samples 50 MB lower, as after a detector was closed."""

    class Watched(MemoryWatch):
        samples = [(float(second), 100.0) for second in range(60)] + [(60.0, 50.0), (61.0, 50.0)]
        counts = [(9, 7)] * 60 + [(4, 2)] * 2

    monkeypatch.setattr(live, "MemoryWatch", Watched)
    record = live.soak(make_bundle(), f"store:{store}", minutes=0.01, options=RunOptions())
    assert record.mb_per_hour == 0.0 and record.mb_at == (100.0, 100.0, 100.0)
    assert record.handles == (9, 9) and record.threads == (7, 7)


@linux
def test_the_watch_sees_memory_that_is_taken() -> None:
    with MemoryWatch(every_s=0.001) as watch:
        while len(watch.samples) < 2:
            pass
        before, taken = len(watch.samples), np.ones(SIZE, np.uint8)
        while len(watch.samples) < before + 3:
            pass
    assert taken.all() and watch.samples[-1][1] - watch.samples[before - 1][1] > 50


@linux
def test_pages_of_a_file_are_not_counted(tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", np.ones(SIZE, np.uint8))
    before = live.resident_mb()
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    assert int(mapped[::4096].sum(dtype=np.int64)) == SIZE // 4096
    assert live.resident_mb() - before < 16


@linux
def test_soak_plays_past_the_end_and_keeps_the_record(
    make_bundle, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "soak", str(make_bundle()), "--source", f"store:{store}", "--minutes", "0.05", "--json"]
    assert cli.main([*words, "--out", str(tmp_path / "soak.json")]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((tmp_path / "soak.json").read_text())
    assert record["run"]["captured"] == 90 and record["run"]["pace"] == "real" and record["run"]["clips"] == 3
    assert record["samples"] >= 1 and len(record["mb_at"]) == 3
    assert cli.main([*words, "--out", str(tmp_path / "soak.json")]) == EXIT_USAGE


@linux
def test_growth_above_the_limit_is_a_failed_gate(
    make_bundle, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = iter(range(1, 10_000))
    monkeypatch.setattr(live, "resident_mb", lambda: float(next(held)))
    monkeypatch.setattr(live, "EVERY_S", 0.01)
    words = ["bench", "soak", str(make_bundle()), "--source", f"store:{store}", "--minutes", "0.01"]
    assert cli.main([*words, "--max-slope", "1"]) == EXIT_GATE
    assert "memory grows" in capsys.readouterr().err
