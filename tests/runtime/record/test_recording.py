"""Recording one's own signs: takes by the clock of the frames, on disk one by one, whole in the store at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.clips import ClipStore
from last_edge.clips.writer import append_clips
from last_edge.errors import InputError, MissingError, UsageError
from last_edge.runtime.pipeline import feed
from last_edge.runtime.pipeline.pipeline import Pipeline
from last_edge.runtime.recognise.adapt import Adapter
from last_edge.runtime.record import session as sessions
from last_edge.runtime.record.journal import Journal, rescue
from last_edge.runtime.record.options import RecordOptions
from last_edge.runtime.record.review import newest, review, take_out, takes_of
from last_edge.runtime.record.session import record
from last_edge.runtime.record.takes import LONGEST, Take, TakeCutter, why_not
from last_edge.runtime.record.target import Target, Wanted, convert_store
from last_edge.runtime.sources import Frame, Source
from last_edge.runtime.view.window import Display
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools.cli.doctor import find_data

HAND = get_layout("mediapipe_hand21")
POINTS = np.zeros((1, 21, 3), np.float32)


class Hands(Source):
    """A hand that moves to the right at 10 frames a second; hidden in frames of some numbers."""

    name, fps, layout, units = "hands", 10.0, HAND, "image01"

    def __init__(self, frames: int, *, live: bool, hidden: range = range(0)) -> None:
        self.frames, self.live, self.hidden = frames, live, hidden

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.frames):
            points = np.full((1, 21, 3), np.nan if index in self.hidden else index / 10, np.float32)
            yield Frame(index, index / 10, points=points, clip="" if self.live else "hands")


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`plugged(frames, live=True, ...)`: the next session finds these hands, and drops none of their frames."""

    def plug(frames: int, *, live: bool = True, **how: Any) -> None:
        monkeypatch.setattr(feed, "open_source", lambda text, layout, images: Hands(frames, live=live, **how))
        monkeypatch.setattr(sessions, "Pipeline", lambda *given, **named: Pipeline(*given, **{**named, "live": False}))

    return plug


@pytest.fixture
def cut_off(plugged: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store whose first session ended with a crash in its third take."""
    shown = iter(range(100))

    def show(*given: Any, **named: Any) -> bool:
        if next(shown) == 25:
            raise RuntimeError("the cable was cut")
        return False

    plugged(200)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="cable"):
        patch.setattr(sessions.RecordView, "show", show)
        record(tmp_path / "store", "cam:0", options=RecordOptions(("hello",), seconds=1.0, countdown_s=0.0))
    return tmp_path / "store"


def lasting(seconds: float, *, every_s: float = 0.1) -> list[float]:
    return np.arange(0, seconds, every_s).tolist()


def cut(cutter: TakeCutter, times: list[float], *, clip: str = "") -> list[Take]:
    takes = (cutter.push(POINTS, at, seen=True, clip=clip) for at in times)
    return [take for take in takes if take is not None]


def test_a_count_down_before_every_take_and_takes_of_the_length_asked_for() -> None:
    cutter = TakeCutter(seconds=1.0, countdown_s=0.5)
    takes = cut(cutter, lasting(4.0))
    assert [take.times[[0, -1]].round(1).tolist() for take in takes] == [[0.5, 1.5], [2.1, 3.1]]
    assert takes[0].frames == 11 and takes[0].fps == pytest.approx(10)


def test_without_a_length_each_recording_is_a_take() -> None:
    cutter = TakeCutter(seconds=None, countdown_s=0.0)
    assert cut(cutter, lasting(1.0), clip="a") == []
    (first,) = cut(cutter, lasting(0.5), clip="b")
    second = cutter.finish()
    assert second is not None and (first.frames, second.frames) == (10, 5)
    assert cutter.finish() is None


def test_an_unfinished_take_is_none_and_an_endless_one_is_cut() -> None:
    cutter = TakeCutter(seconds=2.0, countdown_s=0.0)
    assert cut(cutter, lasting(1.0)) == [] and cutter.taking and 0.4 < cutter.done < 0.5
    assert cutter.finish() is None and not cutter.taking
    endless = cut(TakeCutter(seconds=None, countdown_s=0.0), lasting(LONGEST / 10 + 1))
    assert [take.frames for take in endless] == [LONGEST]


def test_frames_that_came_late_are_put_where_they_belong() -> None:
    times = np.array([0.0, 0.1, 0.2, 0.6, 1.0])
    moving = np.repeat(times.astype(np.float32)[None, :, None, None], 3, axis=-1)
    take = Take(moving, times, 1.0)
    np.testing.assert_allclose(take.evenly()[0, :, 0, 0], [0, 0.25, 0.5, 0.75, 1.0], atol=1e-6)
    assert take.fps == pytest.approx(4.0)


def test_a_camera_goes_through_the_labels_and_says_when_to_begin(plugged: Callable[..., None], tmp_path: Path) -> None:
    plugged(200)
    said: list[str] = []
    options = RecordOptions(("hello", "thanks"), subject="anna", seconds=1.0, countdown_s=1.0, count=2)
    summary = record(tmp_path / "store", "cam:0", options=options, on_notice=said.append)
    assert summary.kept == {"hello": 2, "thanks": 2} and summary.counts == {"hello": {"anna": 2}, "thanks": {"anna": 2}}
    assert said[:3] == ["hello, 1 of 2: get ready", "hello, 1 of 2: now", said[2]]
    assert said[2].startswith("anna/hello/001: 11 frames, 10.0 a second, 100% seen")
    store = ClipStore.open(tmp_path / "store")
    store.verify()
    clip = store.clip(3)
    assert (clip.label, clip.subject, clip.split, clip.camera) == ("thanks", "anna", "train", "hands")
    assert clip.source_id == "anna/thanks/002" and clip.fps == pytest.approx(10) and clip.frames == 11
    np.testing.assert_allclose(np.diff(clip.coords[0, :, 0, 0]), 0.1, atol=1e-5)
    assert not Journal(tmp_path / "store").folder.exists()


def test_a_second_session_adds_and_a_retake_replaces_the_newest(plugged: Callable[..., None], tmp_path: Path) -> None:
    options = RecordOptions(("hello",), subject="anna", seconds=1.0, countdown_s=0.0, count=2)
    for _ in range(2):
        plugged(50)
        record(tmp_path / "store", "cam:0", options=options)
    assert ClipStore.open(tmp_path / "store").index.source_id.tolist() == [f"anna/hello/00{n}" for n in (1, 2, 3, 4)]
    plugged(50)
    again = RecordOptions(("hello",), subject="anna", seconds=1.0, countdown_s=0.0, count=1, retake=2)
    summary = record(tmp_path / "store", "cam:0", options=again)
    assert (summary.removed, summary.clips) == (2, 3)
    assert ClipStore.open(tmp_path / "store").index.source_id.tolist() == [f"anna/hello/00{n}" for n in (1, 2, 5)]


def test_a_crash_loses_no_take_that_was_whole(cut_off: Path) -> None:
    assert len(Journal(cut_off)) == 2 and not cut_off.exists()
    said: list[str] = []
    store = rescue(cut_off, on_notice=said.append)
    assert store is not None and len(store) == 2 and not Journal(cut_off).folder.exists()
    assert said == ["2 takes of a session that was cut off are in the store now"]


def test_a_crash_between_store_and_journal_adds_no_take_twice(cut_off: Path) -> None:
    folder = Journal(cut_off).folder
    kept = {file.name: file.read_bytes() for file in folder.iterdir()}
    rescue(cut_off)
    folder.mkdir()
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    store = rescue(cut_off)
    assert store is not None and len(store) == 2


def test_a_damaged_take_is_named(plugged: Callable[..., None], tmp_path: Path) -> None:
    folder = Journal(tmp_path / "store").folder
    folder.mkdir()
    (folder / "000001.npz").write_bytes(b"half a ta")
    with pytest.raises(InputError, match="a take is damaged") as caught:
        rescue(tmp_path / "store")
    assert caught.value.where == str(folder / "000001.npz")


def test_takes_that_show_nothing_are_not_kept(plugged: Callable[..., None], tmp_path: Path) -> None:
    plugged(60, hidden=range(12, 30))
    options = RecordOptions(("hello",), seconds=1.0, countdown_s=0.0, count=3)
    summary = record(tmp_path / "store", "cam:0", options=options)
    assert summary.kept == {"hello": 3} and summary.refused == 2
    refused = [text for text in summary.notices if "not kept" in text]
    assert refused == [
        "hello: not kept: a hand was in view in 1 frames only",
        "hello: not kept: a hand was in view in 3 frames only",
    ]
    plugged(20, live=False, hidden=range(20))
    with pytest.raises(InputError, match="no take is worth keeping"):
        record(tmp_path / "another", "hands.pose", options=RecordOptions(("hello",)))
    assert [item.name for item in tmp_path.iterdir()] == ["store"]


class Keys:
    """A screen whose viewer presses one key a frame."""

    def __init__(self, keys: dict[int, str]) -> None:
        self.keys, self.shown, self.closed = keys, 0, False

    def show(self, image: np.ndarray, *, wait_ms: int = 1) -> int:
        self.shown += 1
        return ord(self.keys[self.shown]) if self.shown in self.keys else -1

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("keys", "ids", "stopped"),
    [
        ({}, ["me/hello/001", "me/hello/002"], False),
        ({20: "r"}, ["me/hello/001", "me/hello/002"], False),  # in the count-down: the first is thrown away
        ({28: "r"}, ["me/hello/001", "me/hello/002"], False),  # in the second take: it begins anew
        ({20: "q"}, ["me/hello/001"], True),
        ({20: " ", 24: " "}, ["me/hello/001", "me/hello/002"], False),
    ],
)
def test_keys_take_once_more_pause_and_end(
    keys: dict[int, str],
    ids: list[str],
    stopped: bool,
    plugged: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugged(90)
    screen = Keys(keys)
    monkeypatch.setattr("last_edge.runtime.record.session.Display", lambda: screen)
    monkeypatch.setattr("last_edge.runtime.record.session.has_screen", lambda: True)
    options = RecordOptions(("hello",), seconds=1.0, countdown_s=0.6, count=2, window=True)
    summary = record(tmp_path / "store", "cam:0", options=options)
    store = ClipStore.open(tmp_path / "store")
    assert store.index.source_id.tolist() == ids and summary.stopped is stopped and screen.closed
    starts = store.frames[store.index.offset, 0, 0, 0].round(1).tolist()
    expected = {"": [0.6, 2.3], "20r": [2.6, 4.3], "28r": [0.6, 3.4], "20q": [0.6], "20 24": [0.6, 2.6]}
    assert starts == pytest.approx(expected["".join(f"{at}{key}" for at, key in keys.items()).strip()])


def test_a_window_needs_a_screen(plugged: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugged(10)
    monkeypatch.setattr("last_edge.runtime.record.session.has_screen", lambda: False)
    with pytest.raises(MissingError, match="no screen"):
        record(tmp_path / "store", "cam:0", options=RecordOptions(("hello",), window=True))


def test_what_cannot_be_recorded_is_refused(plugged: Callable[..., None], tmp_path: Path) -> None:
    for labels, subject in (((), "me"), (("",), "me"), (("hello",), ""), (("hello", "hello"), "me")):
        with pytest.raises(UsageError):
            RecordOptions(labels, subject=subject)
    plugged(20, live=False)
    with pytest.raises(UsageError, match="of one label"):
        record(tmp_path / "store", "hands.pose", options=RecordOptions(("hello", "thanks")))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError):
        record(tmp_path / "full", "hands.pose", options=RecordOptions(("hello",)))


def test_clips_for_a_bundle_are_in_its_joints_axes_and_size(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    clips = find_data("clips")
    if clips is None:
        pytest.skip("needs real clips (LAST_EDGE_DATA)")
    source = f"replay:{clips / 'mediapipe.pose'}"
    bundle = make_bundle(layout="shrec22", units="metres")
    options = RecordOptions(("talk",), seconds=2.0, bundle=bundle)
    summary = record(tmp_path / "store", source, options=options)
    assert (summary.layout, summary.units, summary.clips) == ("shrec22", "metres", 3)
    with pytest.raises(UsageError, match="the store holds other points") as caught:
        record(tmp_path / "store", source, options=RecordOptions(("talk",)))
    assert "--bundle" in (caught.value.hint or "")


def test_a_store_is_converted_as_a_recording_would_be(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle = make_bundle(layout="shrec22", units="metres")
    random = np.random.default_rng(0)
    shown = random.normal(size=(1, 12, 21, 3)).astype(np.float32)
    clips = [
        SkeletonClip.from_points(
            points, layout=HAND, fps=30, units="image01", label=label, subject="anna", split="test", source_id=label
        )
        for label, points in (("wave", shown), ("nothing", np.full_like(shown, np.nan)))
    ]
    append_clips(tmp_path / "hands", clips, about={"licence": "mine", "axes": "as the camera"})
    made = convert_store(tmp_path / "hands", tmp_path / "out", wanted=Wanted.of(bundle))
    store = ClipStore.open(tmp_path / "out")
    assert (made.clips, made.left_out, made.layout, made.units) == (1, ("nothing",), "shrec22", "metres")
    assert store.about["licence"] == "mine" and "y up" in store.about["axes"]
    clip = store.clip(0)
    assert (clip.label, clip.subject, clip.split, clip.source_id) == ("wave", "anna", "test", "wave")
    adapter = Adapter(HAND, "image01", spec=Bundle.open(bundle).manifest.input, target_units="metres")
    np.testing.assert_array_equal(clip.coords, adapter(shown))
    with pytest.raises(UsageError, match="will not overwrite"):
        convert_store(tmp_path / "hands", tmp_path / "out", wanted=Wanted.of(bundle))
    append_clips(tmp_path / "none", clips[1:])
    with pytest.raises(InputError, match="no clip shows anything"):
        convert_store(tmp_path / "none", tmp_path / "empty", wanted=Wanted.of(bundle))
    assert not (tmp_path / "empty").exists()


def test_takes_of_a_session_that_goes_on_are_left_to_it(
    cut_off: Path, hold: Callable[[Path], AbstractContextManager[None]]
) -> None:
    with hold(cut_off):
        with pytest.raises(UsageError, match="another process writes here"):
            record(cut_off, "cam:0", options=RecordOptions(("hello",)))
        with pytest.raises(UsageError, match="another process writes here"):
            rescue(cut_off)
    assert len(Journal(cut_off)) == 2


def test_a_camera_that_shows_no_hand_is_given_up_after_five_takes(plugged: Callable[..., None], tmp_path: Path) -> None:
    plugged(400, hidden=range(22, 400))
    options = RecordOptions(("hello",), seconds=1.0, countdown_s=0.0, count=10)
    summary = record(tmp_path / "store", "cam:0", options=options)
    assert summary.kept == {"hello": 2} and summary.refused == 5 and not summary.stopped
    assert summary.gave_up == "5 takes of hello in a row were not kept: no hand in view"
    plugged(400, hidden=range(400))
    with pytest.raises(InputError, match=r"no take is worth keeping(.|\n)*the last: no hand in view"):
        record(tmp_path / "none", "cam:0", options=options)


def test_a_take_is_cut_to_the_hand_and_short_gaps_count_as_seen(plugged: Callable[..., None], tmp_path: Path) -> None:
    plugged(30, live=False, hidden=range(5))
    record(tmp_path / "store", "hands", options=RecordOptions(("hello",)))
    assert ClipStore.open(tmp_path / "store").clip(0).frames == 25
    times = np.arange(20) / 10
    shown = np.ones(20, np.bool_)
    shown[[0, 1, 6, 7, 8, 19]] = False  # a gap of 0.4 seconds inside
    take = Take(np.zeros((1, 20, 21, 3), np.float32), times, float(shown.mean()), shown).trimmed()
    assert take.frames == 17 and take.seen == 1.0
    shown[6:14] = False
    long = Take(np.zeros((1, 20, 21, 3), np.float32), times, 0.0, shown).trimmed()
    assert long.seen == pytest.approx(9 / 17)


def test_a_take_that_is_not_kept_says_why() -> None:
    def told(x: float, shown: list[int], *, light: float = 120.0) -> str:
        flags = np.array(shown, np.bool_)
        points = np.full((1, len(shown), 21, 3), x, np.float32)
        take = Take(points, np.arange(len(shown)) / 5, float(flags.mean()), flags, light).trimmed()
        return why_not(take, least_seen=0.8, least_frames=3, aspect=1.5)

    lost = [1, 1, 0, 0, 0, 0, 0, 1, 1]
    assert told(0.5, [1] * 8) == ""
    assert told(0.5, [0] * 8) == "no hand in view" and told(0.5, [0] * 8, light=20.0) == "too dark"
    assert told(0.5, lost) == "the hand was lost in 56% of the take"
    assert told(0.5, lost, light=20.0) == "too dark: the hand was lost"
    assert told(0.99, lost) == "the hand left the picture"
    assert told(0.5, [1, 0, 0, 1]) == "a hand was in view in 2 frames only"


def test_a_body_without_a_hand_is_no_take_of_a_sign() -> None:
    whole = get_layout("mediapipe_holistic75")
    body = np.zeros((1, 75, 3), np.float32)
    body[:, list(whole.hands)] = np.nan
    assert not Target(whole, "image01", wanted=None, hand="first").sees(body)
    body[:, whole.hands[0]] = 0.0
    assert Target(whole, "image01", wanted=None, hand="first").sees(body)
    pose = get_layout("mediapipe_pose33")
    assert Target(pose, "image01", wanted=None, hand="first").sees(np.zeros((1, 33, 3), np.float32))


def test_takes_are_listed_and_the_newest_are_taken_out(
    plugged: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged(200)
    store = tmp_path / "store"
    record(store, "cam:0", options=RecordOptions(("hello", "thanks"), seconds=1.0, countdown_s=0.0, count=3))
    rows = takes_of(ClipStore.open(store))
    assert [row.id for row in rows][::3] == ["me/hello/001", "me/thanks/001"]
    assert (rows[0].seconds, rows[0].seen, rows[0].subject) == (1.0, 100.0, "me")
    take_out(store, newest(ClipStore.open(store), 2, labels=("hello",)))
    left = [row.id for row in takes_of(ClipStore.open(store))]
    assert left == ["me/hello/001", "me/thanks/001", "me/thanks/002", "me/thanks/003"]
    with pytest.raises(InputError, match="no take would be left"):
        take_out(store, [0, 1, 2, 3])
    monkeypatch.setattr("last_edge.runtime.record.review.has_screen", lambda: False)
    with pytest.raises(MissingError, match="--undo"):
        review(store)


def test_a_review_plays_takes_and_takes_out_those_marked(
    plugged: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged(200)
    store = tmp_path / "store"
    record(store, "cam:0", options=RecordOptions(("hello",), seconds=1.0, countdown_s=0.0, count=3))
    keys = iter("n.dd.dnq")  # to the second; out, back, out; on; end
    monkeypatch.setattr("last_edge.runtime.record.review.has_screen", lambda: True)
    monkeypatch.setattr(Display, "show", lambda self, image, wait_ms: -1 if (k := next(keys)) == "." else ord(k))
    monkeypatch.setattr(Display, "close", lambda self: None)
    assert [row.id for row in review(store)] == ["me/hello/002"]
    assert [row.id for row in takes_of(ClipStore.open(store))] == ["me/hello/001", "me/hello/003"]
