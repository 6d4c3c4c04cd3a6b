"""The clip store: what goes in comes out, and nothing damaged is read."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest

from last_edge import records
from last_edge.clips import ClipStore, writing_store
from last_edge.clips.store import HEADER, INDEX, StoredFile, write_index
from last_edge.clips.writer import append_clips
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import Annotation, SkeletonClip, get_layout

LAYOUT = get_layout("mediapipe_hand21")


def make_clip(number, frames=5, **changes):
    rng = np.random.default_rng(number)
    points = rng.normal(size=(1, frames, 21, 3))
    points[0, 0, number % 21] = np.nan
    about = {"label": "ab"[number % 2], "subject": f"s{number % 3}", "source_id": f"clip{number}"}
    about |= {"split": "test" if number % 3 == 0 else "train", "camera": "c1", "setup": "u2"}
    return SkeletonClip.from_points(points, **({"layout": LAYOUT, "fps": 25, "units": "metres"} | about | changes))


def write(path, clips, labels=("a", "b"), **options):
    with writing_store(path, layout=LAYOUT, units="metres", labels=labels, **options) as writer:
        for clip in clips:
            writer.add(clip)
    return path


@pytest.fixture
def store_path(tmp_path):
    return write(tmp_path / "store", [make_clip(number, frames=3 + number) for number in range(7)])


def test_clips_come_back_as_they_went_in(store_path):
    store = ClipStore.open(store_path)
    assert (len(store), store.layout, store.units, store.labels, store.fps) == (7, LAYOUT, "metres", ("a", "b"), 25.0)
    for number in range(7):
        given, got = make_clip(number, frames=3 + number), store.clip(number)
        np.testing.assert_array_equal(got.coords, given.coords)
        np.testing.assert_array_equal(got.confidence, given.confidence)
        for name in ("label", "subject", "source_id", "split", "camera", "setup", "fps"):
            assert getattr(got, name) == getattr(given, name)


def make_recordings():
    shown = [(Annotation("b", 0, 3), Annotation("a", 4, 4)), (), (Annotation("b", 10, 19),)]
    return [make_clip(number, frames=20, label=None, spans=spans) for number, spans in enumerate(shown)]


def test_recordings_keep_what_they_show_and_when(tmp_path):
    store = ClipStore.open(write(tmp_path / "s", make_recordings(), labels=None))
    assert store.labels == ("a", "b")
    assert [store.clip(number).spans for number in range(3)] == [clip.spans for clip in make_recordings()]
    assert store.recordings().tolist() == [0, 1, 2] and store.recordings("test").tolist() == [0]
    store.verify()
    more = append_clips(store.path, [make_clip(5, label=None, spans=(Annotation("c", 1, 2),))])
    assert more.labels == ("a", "b", "c") and more.clip(2).spans == store.clip(2).spans
    assert more.clip(3).spans == (Annotation("c", 1, 2),)


def test_stores_without_recordings_are_what_they_were(store_path):
    store = ClipStore.open(store_path)
    assert "spans" not in store.index.columns() and not len(store.recordings())


@pytest.mark.parametrize(
    ("spans", "reason"),
    [
        ([Annotation("a", 3, 2)], "ends before it begins"),
        ([Annotation("a", 3, 20)], "leaves its recording"),
        ([Annotation("a", 3, 9), Annotation("b", 9, 12)], "overlap"),
        ([Annotation("a", 9, 12), Annotation("b", 3, 5)], "order of time"),
    ],
)
def test_spans_that_cannot_be_are_refused(spans, reason):
    with pytest.raises(InputError, match=reason):
        make_clip(0, frames=20, label=None, spans=tuple(spans))


def test_a_recording_has_spans_or_a_label():
    with pytest.raises(InputError, match="no label of its own"):
        make_clip(0, frames=20, spans=(Annotation("a", 1, 2),))


def test_damaged_spans_are_named(tmp_path):
    path = write(tmp_path / "s", make_recordings())
    store = ClipStore.open(path)
    for spans, reason in (([[2, 0, 3]], "class names"), ([[0, 0, 20]], "leaves its recording")):
        column = store.index.spans.copy()
        column[0] = np.array(spans)
        write_index(dataclasses.replace(store.index, spans=column), path / INDEX)
        header = dataclasses.replace(store.header, files={**store.header.files, INDEX: StoredFile.of(path / INDEX)})
        records.save(header, path / HEADER)
        with pytest.raises(InputError, match=reason):
            ClipStore.open(path)


def test_points_are_a_view_of_the_file(store_path):
    store = ClipStore.open(store_path)
    points = store.points(4)
    assert points.shape == (1, 7, 21, 3)
    assert points.dtype == np.float32
    assert not points.flags.writeable
    assert np.shares_memory(points, store.frames)


def test_select_by_split_and_subject(store_path):
    store = ClipStore.open(store_path)
    assert store.select(split="test").tolist() == [0, 3, 6]
    assert store.select(split="train", subjects=["s1"]).tolist() == [1, 4]
    assert store.select().tolist() == list(range(7))
    assert store.select(split="val").tolist() == []


def test_unlabelled_clips_and_collected_labels(tmp_path):
    clips = [make_clip(0, label="10"), make_clip(1, label=None), make_clip(2, label="9")]
    store = ClipStore.open(write(tmp_path / "s", clips, labels=None))
    assert store.labels == ("9", "10")
    assert store.index.label.tolist() == [1, -1, 0]
    assert store.clip(1).label is None


def test_faint_confidence_stays_above_zero(tmp_path):
    sure = np.full((1, 5, 21), 1e-9)
    clip = SkeletonClip.from_points(np.ones((1, 5, 21, 3)), layout=LAYOUT, fps=25, units="metres", confidence=sure)
    store = ClipStore.open(write(tmp_path / "s", [clip]))
    assert (store.clip(0).confidence > 0).all()


def test_identity_is_of_the_content_alone(tmp_path):
    clips = [make_clip(number) for number in range(3)]
    one = ClipStore.open(write(tmp_path / "one", clips, about={"source": "x"}))
    two = ClipStore.open(write(tmp_path / "two", clips, about={"source": "y"}))
    other = ClipStore.open(write(tmp_path / "other", [*clips[:2], make_clip(2, subject="else")]))
    assert one.sha256 == two.sha256 != other.sha256
    one.verify()


@pytest.mark.parametrize(
    ("clip", "reason"),
    [
        (make_clip(1, units="image01"), "other units"),
        (make_clip(1, label="c"), "unknown label 'c'"),
        (make_clip(1, split="training"), "unknown split"),
        (make_clip(0), "same clip twice"),
        (
            SkeletonClip.from_points(np.ones((2, 5, 21, 3)), layout=LAYOUT, fps=25, units="metres", source_id="clip1"),
            "another shape",
        ),
        (
            SkeletonClip.from_points(
                np.ones((1, 5, 22, 3)), layout=get_layout("shrec22"), fps=25, units="metres", source_id="clip1"
            ),
            "another layout",
        ),
    ],
)
def test_a_clip_that_does_not_fit_is_named_and_nothing_is_left(tmp_path, clip, reason):
    with pytest.raises(InputError, match=reason) as caught:
        write(tmp_path / "store", [make_clip(0), clip])
    assert clip.source_id in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_no_clips_no_store(tmp_path):
    with pytest.raises(InputError, match="no clips"):
        write(tmp_path / "store", [])
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_without_force(store_path):
    before = ClipStore.open(store_path).sha256
    with pytest.raises(UsageError, match="--force"):
        write(store_path, [make_clip(0)])
    assert ClipStore.open(store_path).sha256 == before
    write(store_path, [make_clip(0)], force=True)
    assert len(ClipStore.open(store_path)) == 1


def test_a_failed_rewrite_keeps_the_old_store(store_path):
    def broken():
        yield make_clip(0)
        raise InputError("source breaks off")

    with pytest.raises(InputError, match="breaks off"):
        write(store_path, broken(), force=True)
    assert len(ClipStore.open(store_path)) == 7


@pytest.mark.parametrize("name", ["frames.npy", "confidence.npy", "index.parquet"])
def test_truncated_file_is_named_on_opening(store_path, name):
    file = store_path / name
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InputError, match="truncated") as caught:
        ClipStore.open(store_path)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("name", ["frames.npy", "confidence.npy", "index.parquet", "store.json"])
def test_absent_file_is_named_on_opening(store_path, name):
    (store_path / name).unlink()
    with pytest.raises(InputError) as caught:
        ClipStore.open(store_path)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("holds", "command"),
    [("a.npz", "npz {} --layout LAYOUT"), ("S001C002P003R001A007.skeleton", "ntu {}"), ("notes.txt", "NAME SOURCE")],
)
def test_a_folder_that_is_no_store_names_the_command_that_makes_one(tmp_path, holds, command):
    (tmp_path / holds).touch()
    with pytest.raises(InputError, match="no clip store") as caught:
        ClipStore.open(tmp_path)
    assert caught.value.hint == f"last-edge data prepare {command.format(tmp_path)} --out STORE"


@pytest.mark.parametrize("name", ["frames.npy", "confidence.npy", "index.parquet"])
def test_one_changed_byte_is_found_by_verify(store_path, name):
    file = store_path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="changed|damaged|does not fit") as caught:
        ClipStore.open(store_path).verify()
    assert name in str(caught.value)


@pytest.mark.parametrize("change", [{"labels": ["b", "a"]}, {"units": "image01"}, {"about": {"licence": "free"}}])
def test_changed_header_is_found_by_verify(store_path, change):
    header = json.loads((store_path / "store.json").read_text()) | change
    (store_path / "store.json").write_text(json.dumps(header))
    with pytest.raises(InputError, match="header has changed"):
        ClipStore.open(store_path).verify()


def test_damaged_parquet_of_the_right_size_is_refused(store_path):
    file = store_path / "index.parquet"
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(InputError, match="damaged index"):
        ClipStore.open(store_path)


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [("split", None, "split that is no text"), ("subject", 7, "subject that is no text"),
     ("fps", np.nan, "frame rate"), ("fps", 0.0, "frame rate")],
)  # fmt: skip
def test_an_index_of_odd_values_is_refused(store_path, column, value, fault):
    store = ClipStore.open(store_path)
    values = getattr(store.index, column).copy()
    values[:] = value
    write_index(dataclasses.replace(store.index, **{column: values}), store_path / INDEX)
    header = dataclasses.replace(store.header, files=store.header.files | {INDEX: StoredFile.of(store_path / INDEX)})
    (store_path / HEADER).write_text(records.to_json(header))
    with pytest.raises(InputError, match=fault) as caught:
        ClipStore.open(store_path)
    assert str(store_path / INDEX) in str(caught.value)


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_pickle_in_place_of_frames_is_refused_unread(store_path):
    file = store_path / "frames.npy"
    size = file.stat().st_size
    file.write_bytes(pickle.dumps(Evil()).ljust(size, b"\0"))
    with pytest.raises(InputError, match="damaged array"):
        ClipStore.open(store_path)


def test_damaged_array_header_is_refused(store_path):
    file = store_path / "frames.npy"
    file.write_bytes(file.read_bytes().replace(b"'shape': (", b"'shape': (("))
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"damaged array"):
        ClipStore.open(store_path)


def test_frames_of_another_type_are_refused(store_path):
    file = store_path / "frames.npy"
    frames = np.load(file)
    np.save(file, frames.view(np.int32))
    with pytest.raises(InputError, match="does not fit the header"):
        ClipStore.open(store_path)


def test_no_store_gives_the_next_command(tmp_path):
    with pytest.raises(InputError, match="last-edge data prepare"):
        ClipStore.open(tmp_path / "nowhere")
