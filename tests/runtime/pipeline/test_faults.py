"""What goes wrong in a run: it goes on, or it ends with an exit code and a message and no half file."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from last_edge.errors import EXIT_INPUT, EXIT_MISSING, MissingError
from last_edge.runtime.pipeline import feed, pipeline
from last_edge.runtime.pipeline.feed import MOST_NOTICES, Notices
from last_edge.runtime.pipeline.pipeline import LIVE_QUEUE, STAGES
from last_edge.runtime.pipeline.run import RunOptions, run
from last_edge.runtime.sources import ImageOptions, live, video
from last_edge.runtime.sources.points import SyntheticSource
from last_edge.runtime.view.presenter import Presenter
from last_edge.skeleton import get_layout
from last_edge.tools import cli

MakeBundle = Callable[..., Path]
HAND = get_layout("mediapipe_hand21")


class Detector:
    """Finds a resting hand, except in frames of these numbers."""

    warning = ""

    model, layout, side = "hand", HAND, ""

    def __init__(self, fails: range = range(0)) -> None:
        self._fails, self._seen = fails, -1

    def __call__(self, image: np.ndarray, timestamp_s: float) -> np.ndarray:
        self._seen += 1
        if self._seen in self._fails:
            raise RuntimeError("graph has errors")
        return np.zeros((21, 3), np.float32)

    def close(self) -> None:
        """Nothing to give back."""


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Thirty images in a folder."""
    import cv2

    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(30):
        cv2.imwrite(str(folder / f"{number:03d}.png"), np.zeros((48, 64, 3), np.uint8))
    return folder


def detect_with(monkeypatch: pytest.MonkeyPatch, detector: Detector) -> None:
    monkeypatch.setattr(feed, "create_landmarks", lambda kind, **options: detector)


def test_a_landmarker_that_throws_now_and_then_costs_those_frames_their_points(
    make_bundle: MakeBundle, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect_with(monkeypatch, Detector(range(4, 7)))
    options = RunOptions(events=tmp_path / "e.jsonl", images=ImageOptions(fps=30))
    summary = run(make_bundle(), str(frames), options=options)
    assert (summary.frames, summary.frames_with_points) == (30, 27)
    assert summary.notices == [f"no landmarks of frame {frame}: graph has errors" for frame in (4, 5, 6)]
    kinds = [json.loads(line)["type"] for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert kinds.count("notice") == 3 and kinds[-1] == "summary"


def test_a_landmarker_that_always_throws_ends_the_run_and_every_thread(
    make_bundle: MakeBundle, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect_with(monkeypatch, Detector(range(5, 99)))
    events = tmp_path / "e.jsonl"
    with pytest.raises(MissingError, match="fails on every frame") as caught:
        run(make_bundle(), str(frames), options=RunOptions(events=events))
    assert caught.value.exit_code == EXIT_MISSING and not events.exists()
    assert not {thread.name for thread in threading.enumerate()} & set(STAGES)


def test_a_landmarker_that_never_returns_ends_the_run_with_a_reason(
    make_bundle: MakeBundle, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """And nobody closes it, which MediaPipe would wait in too."""
    never, closed = threading.Event(), []

    class Hanging(Detector):
        def __call__(self, image: np.ndarray, timestamp_s: float) -> np.ndarray:
            points = super().__call__(image, timestamp_s)
            if self._seen == 4:
                never.wait()
            return points

        def close(self) -> None:
            closed.append(self)

    for name, seconds in (("LOOK_S", 0.01), ("HANG_S", 0.2), ("PATIENCE_S", 0.05)):
        monkeypatch.setattr(pipeline, name, seconds)
    detect_with(monkeypatch, Hanging())
    events = tmp_path / "e.jsonl"
    words = ["run", str(make_bundle()), "--source", str(frames), "--no-window", "--events", str(events)]
    try:
        assert cli.main(words) == EXIT_MISSING
        told = capsys.readouterr().err
        assert "the stage 'landmarks' hangs" in told and "frame 4" in told
        assert not closed and not events.exists()
    finally:
        never.set()


def test_a_source_that_keeps_us_waiting_hangs_no_stage(
    make_bundle: MakeBundle, frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stages have nothing to do meanwhile, however often they are asked."""
    asked, ask = threading.Semaphore(0), pipeline.Pipeline._require_progress

    def counted(of: pipeline.Pipeline) -> None:
        asked.release()
        ask(of)

    whole = video.ImageFolderSource.__iter__

    def slowly(source: video.ImageFolderSource) -> Iterator[Any]:
        for frame in whole(source):
            if frame.index == 10:
                assert all(asked.acquire(timeout=30) for _ in range(3))
            yield frame

    monkeypatch.setattr(pipeline, "LOOK_S", 0.01)
    monkeypatch.setattr(pipeline.Pipeline, "_require_progress", counted)
    monkeypatch.setattr(video.ImageFolderSource, "__iter__", slowly)
    detect_with(monkeypatch, Detector())
    assert run(make_bundle(), str(frames)).frames == 30


def test_a_system_clock_that_jumps_leaves_times_in_order(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, left, days = np.zeros((48, 64, 3), np.uint8), iter(range(20)), itertools.cycle((0.0, 9e9, -9e9))
    camera = SimpleNamespace(
        read=lambda: (next(left, None) is not None, image), get=lambda name: 30.0, release=lambda: None
    )
    opened = iter([camera])
    monkeypatch.setattr(live, "open_capture", lambda number: next(opened, None))
    monkeypatch.setattr(live, "BACK_OFF_S", (0.0,))
    system = time.time
    monkeypatch.setattr(time, "time", lambda: system() + next(days))
    detect_with(monkeypatch, Detector())
    events = tmp_path / "e.jsonl"
    summary = run(make_bundle(), "cam:0", options=RunOptions(events=events))
    lines = map(json.loads, events.read_text().splitlines())
    moments = [line["timestamp_s"] for line in lines if line["type"] == "frame"]
    assert moments == sorted(moments) and moments[0] >= 0 and moments[-1] < 3600
    assert len(moments) == summary.frames > 0 and 0 <= summary.seconds < 3600


def test_a_camera_that_is_unplugged_leaves_whole_files_and_exit_code_5(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image, left = np.zeros((48, 64, 3), np.uint8), [12]

    def read() -> tuple[bool, np.ndarray]:
        left[0] -= 1
        return left[0] >= 0, image

    plugged: list[Any] = [SimpleNamespace(read=read, get=lambda name: 30.0, release=lambda: None)]
    monkeypatch.setattr(live, "open_capture", lambda number: plugged.pop() if plugged else None)
    monkeypatch.setattr(live, "BACK_OFF_S", (0.0,))
    detect_with(monkeypatch, Detector())
    words = ["run", str(make_bundle()), "--source", "cam:0", "--no-window", "--json"]
    assert (
        cli.main([*words, "--events", str(tmp_path / "e.jsonl"), "--save", str(tmp_path / "out.avi")]) == EXIT_MISSING
    )
    told = capsys.readouterr()
    assert "the source is lost" in told.err and "cam:0 is lost; next try" in told.err
    summary = json.loads(told.out)
    assert summary["captured"] == 12 and summary["lost"].startswith("cam:0 is gone")
    assert (tmp_path / "out.avi").is_file()
    assert json.loads((tmp_path / "e.jsonl").read_text().splitlines()[-1])["type"] == "summary"


def test_a_slow_window_of_a_paced_source_drops_frames_and_says_how_many(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, points, show = threading.Event(), SyntheticSource._points, Presenter.show

    def counted(source: SyntheticSource, time_s: float) -> np.ndarray:
        if time_s > 0.5:
            late.set()
        return points(source, time_s)

    monkeypatch.setattr(SyntheticSource, "_points", counted)
    monkeypatch.setattr(Presenter, "show", lambda *given, **named: late.wait(5) and show(*given, **named))
    summary = run(make_bundle(), "synthetic", options=RunOptions(pace="real", limit=30))
    dropped = sum(summary.dropped.values())
    assert summary.pace == "real" and summary.captured == 30 == summary.frames + dropped
    assert dropped >= 5 and max(summary.queues.values()) <= LIVE_QUEUE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_under_the_event_file_is_bad_input(
    make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", str(make_bundle()), "--source", "synthetic", "--no-window", "--events", "/dev/full"]
    assert cli.main(words) == EXIT_INPUT
    assert "No space left" in capsys.readouterr().err


def test_a_full_disk_under_the_saved_video_is_bad_input_and_leaves_no_part(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    words = ["run", str(make_bundle()), "--source", "synthetic", "--no-window", "--save", str(tmp_path / "out.avi")]
    assert cli.main(words) == EXIT_INPUT
    assert "No space left" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny"]


def test_broken_frames_in_the_middle_of_a_video_are_passed_over_and_told(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(20):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    whole, read = video.VideoSource._read, iter(range(99))
    monkeypatch.setattr(video.VideoSource, "_read", lambda source: None if next(read) in (5, 6) else whole(source))
    detect_with(monkeypatch, Detector())
    summary = run(make_bundle(), str(path))
    assert summary.frames == 20 and summary.notices == ["a.avi: 2 frames after frame 4 cannot be read"]


def test_a_run_of_weeks_does_not_grow_by_what_it_says() -> None:
    notices = Notices()
    for number in range(3 * MOST_NOTICES):
        notices.append(f"notice {number}")
        assert notices.unread() == [f"notice {number}"]
    kept = list(notices)
    assert len(kept) == MOST_NOTICES + 1 and kept[0] == "notice 0"
    assert kept[-1] == f"{2 * MOST_NOTICES} more of these were told and not kept"
    assert notices.unread() == []
