"""A whole run over a source: the event file, the saved video, the summary, and what stops it."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.clips import writing_store
from last_edge.errors import InputError, MissingError, UsageError
from last_edge.files import cache_folder
from last_edge.runtime.pipeline.pipeline import FILE_QUEUE, Timings
from last_edge.runtime.pipeline.run import EventLog, RunOptions, run
from last_edge.runtime.pipeline.watch import ClipCollector
from last_edge.runtime.recognise.decoding import Event
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools.cli.doctor import find_data

HAND = get_layout("mediapipe_hand21")


MakeBundle = Callable[..., Path]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_synthetic_run_writes_every_frame_events_and_a_last_summary(make_bundle: MakeBundle, tmp_path: Path) -> None:
    seen: list[Event] = []
    events = tmp_path / "events.jsonl"
    summary = run(make_bundle(), "synthetic", options=RunOptions(events=events), on_event=seen.append)
    records = lines(events)
    kinds = Counter(record["type"] for record in records)
    assert summary.frames == kinds["frame"] == 300 and summary.frames_with_points == 264
    assert kinds["event"] == summary.events == len(seen) > 0
    assert records[-1]["type"] == "summary" and records[-1]["frames"] == 300
    assert set(summary.timings_ms) == {"capture", "landmarks", "recognise", "present"}
    assert all(timing.n == 300 for timing in summary.timings_ms.values())
    assert summary.captured == summary.announced_frames == 300
    assert set(summary.dropped) == {"landmarks", "recognise", "present"} and not any(summary.dropped.values())
    assert all(longest <= FILE_QUEUE for longest in summary.queues.values())


@pytest.mark.parametrize("option", ["events", "save", "snapshot"])
def test_a_file_that_is_there_names_the_option_that_wrote_it(
    make_bundle: MakeBundle, tmp_path: Path, option: str
) -> None:
    there = tmp_path / "there.mp4"
    there.write_bytes(b"mine")
    with pytest.raises(UsageError) as refused:
        run(make_bundle(), "synthetic", options=RunOptions(**{option: there}))  # type: ignore[arg-type]
    assert refused.value.hint == f"another --{option}, or --force to replace it"


@pytest.mark.parametrize(("person", "label"), [("largest", "left"), ("left", "right"), ("right", "left")])
def test_one_of_two_people_in_a_store_is_followed(
    make_bundle: MakeBundle, tmp_path: Path, person: Any, label: str
) -> None:
    frames, random = 60, np.random.default_rng(0)
    people = np.stack([np.tile(size * random.normal(0, 1, (21, 3)), (frames, 1, 1)) for size in (0.03, 0.06)])
    way = np.linspace(0, 0.5, frames)[:, None]
    people[0, ..., 0] += way
    people[1, ..., 0] += 1.5 - way
    people[:, ::3] = people[::-1, ::3]
    with writing_store(tmp_path / "two", layout=HAND, units="image01", labels=("a",)) as writer:
        writer.add(SkeletonClip.from_points(people, layout=HAND, fps=30, units="image01", label="a"))
    seen: list[Event] = []
    run(make_bundle(), f"store:{tmp_path / 'two'}", options=RunOptions(person=person), on_event=seen.append)
    assert {event.label for event in seen} == {label}


def test_frames_without_points_are_null_and_have_no_prediction(make_bundle: MakeBundle, tmp_path: Path) -> None:
    run(make_bundle(), "synthetic", options=RunOptions(events=tmp_path / "e.jsonl", limit=90))
    frames = [record for record in lines(tmp_path / "e.jsonl") if record["type"] == "frame"]
    assert frames[85]["landmarks"] == [None] * 21
    assert len(frames[0]["landmarks"]) == 21 and len(frames[0]["landmarks"][0]) == 3
    assert frames[0]["prediction"] is None and frames[60]["prediction"]["top"][0]["label"] in ("left", "right")
    assert set(frames[0]["timings_ms"]) == {"capture", "landmarks", "recognise", "present"}
    assert set(frames[0]["queues"]) == {"landmarks", "recognise", "present"} and frames[0]["dropped"] == 0


def test_store_clips_are_predicted_whole_and_counted(make_bundle: MakeBundle, tmp_path: Path) -> None:
    with writing_store(tmp_path / "store", layout=HAND, units="image01", labels=("left", "right")) as writer:
        for label, way in (("left", -0.3), ("right", 0.3), ("left", 0.3)):
            points = np.zeros((1, 20, 21, 3), np.float32)
            points[..., 0] = np.linspace(0, way, 20)[:, None]
            writer.add(SkeletonClip.from_points(points, layout=HAND, fps=20, units="image01", label=label))
    events = tmp_path / "e.jsonl"
    summary = run(make_bundle(), f"store:{tmp_path / 'store'}", options=RunOptions(events=events))
    assert (summary.clips, summary.clips_right) == (3, 2)
    clips = [record for record in lines(events) if record["type"] == "clip"]
    assert [(clip["label"], clip["prediction"]["top"][0]["label"]) for clip in clips] == [
        ("left", "left"),
        ("right", "right"),
        ("left", "right"),
    ]


def test_whole_clips_are_not_predicted_inside_the_time_of_a_frame(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing_store(tmp_path / "store", layout=HAND, units="image01", labels=("left",)) as writer:
        for name in "ab":
            points = np.zeros((1, 20, 21, 3), np.float32)
            writer.add(SkeletonClip.from_points(points, layout=HAND, fps=20, units="image01", source_id=name))
    inside: set[str] = set()
    during: list[bool] = []
    measure, finish = Timings.measure, ClipCollector.finish

    @contextmanager
    def watched(timings: Timings, stage: str, *, into: dict[str, float]) -> Iterator[None]:
        inside.add(stage)
        with measure(timings, stage, into=into):
            yield
        inside.remove(stage)

    monkeypatch.setattr(Timings, "measure", watched)
    monkeypatch.setattr(ClipCollector, "finish", lambda clips: (during.append("recognise" in inside), finish(clips))[1])
    assert run(make_bundle(), f"store:{tmp_path / 'store'}").clips == 2
    assert during == [False, False]


def test_without_an_event_file_no_frame_is_turned_into_text() -> None:
    unusable: Any = object()
    EventLog(None).frame(unusable, dropped=0)
    with pytest.raises(AttributeError):
        EventLog(io.BytesIO()).frame(unusable, dropped=0)


def test_the_bundles_threshold_rules_unless_one_is_given(make_bundle: MakeBundle) -> None:
    assert run(make_bundle(accept=1.0), "synthetic").events == 0


def test_saved_video_has_a_frame_for_each_and_the_snapshot_is_one_of_them(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    import cv2

    options = RunOptions(save=tmp_path / "out.mp4", snapshot=tmp_path / "out.png", limit=12)
    run(make_bundle(), "synthetic", options=options)
    picture = cv2.imread(str(tmp_path / "out.png"))
    assert picture is not None and picture.shape == (720, 1280, 3)
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 12


def test_nothing_is_overwritten_without_force(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle, events = make_bundle(), tmp_path / "e.jsonl"
    events.write_text("mine")
    with pytest.raises(UsageError, match="will not overwrite"):
        run(bundle, "synthetic", options=RunOptions(events=events, limit=1))
    assert events.read_text() == "mine"
    run(bundle, "synthetic", options=RunOptions(events=events, limit=1, force=True))
    assert lines(events)[-1]["frames"] == 1


def test_interrupt_leaves_whole_files(make_bundle: MakeBundle, tmp_path: Path) -> None:
    def interrupt(event: object) -> None:
        raise KeyboardInterrupt

    events, save = tmp_path / "e.jsonl", tmp_path / "out.avi"
    summary = run(make_bundle(), "synthetic", options=RunOptions(events=events, save=save), on_event=interrupt)
    assert summary.stopped and summary.events == 1 and summary.frames < 300
    assert lines(events)[-1]["stopped"] and save.is_file()


def test_refused_runs_leave_no_file(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle()
    options = RunOptions(events=tmp_path / "e.jsonl")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(InputError, match="empty"):
        run(bundle, str(tmp_path / "empty.mp4"), options=options)
    with pytest.raises(InputError, match="has no int8 graph"):
        run(bundle, "synthetic", options=RunOptions(events=tmp_path / "e.jsonl", precision="int8"))
    graph = bundle / "model.fp32.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match="bytes have changed"):
        run(bundle, "synthetic", options=options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.mp4", "tiny"]


def test_a_window_needs_a_screen(make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(MissingError, match="no screen"):
        run(make_bundle(), "synthetic", options=RunOptions(window=True))


def test_a_hand_bundle_in_metres_runs_on_a_real_video(make_bundle: MakeBundle, tmp_path: Path) -> None:
    clips = find_data("clips")
    if clips is None or not (cache_folder() / "hand_landmarker.task").is_file():
        pytest.skip("needs real clips (LAST_EDGE_DATA) and `last-edge models fetch hand`")
    video = clips / "how2sign_0fO5ETSwyg_1-5.mp4"
    bundle = make_bundle(layout="shrec22", units="metres")
    summary = run(bundle, str(video), options=RunOptions(events=tmp_path / "e.jsonl"))
    assert summary.frames == summary.announced_frames == 27
    assert 20 <= summary.frames_with_points <= 27
    assert (summary.detector, summary.layout, summary.units) == ("hand", "mediapipe_hand21", "image01")


def test_a_pose_file_is_replayed_to_a_hand_bundle(make_bundle: MakeBundle) -> None:
    clips = find_data("clips")
    if clips is None:
        pytest.skip("needs real clips (LAST_EDGE_DATA)")
    summary = run(make_bundle(layout="shrec22", units="metres"), f"replay:{clips / 'mediapipe.pose'}")
    assert summary.frames == 170 and 100 < summary.frames_with_points < 170
    assert (summary.detector, summary.layout) == ("", "mediapipe_holistic83")
