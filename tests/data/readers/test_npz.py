"""Any sensor's points by `.npz` and layout file; a pickle is never read."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest

from last_edge.data.prepare import prepare
from last_edge.data.readers.npz import read_npz
from last_edge.errors import InputError, UsageError


@pytest.fixture
def layout(tmp_path):
    file = tmp_path / "glove.json"
    file.write_text(json.dumps({"name": "glove", "names": ["wrist", "thumb", "tip"], "parents": [0, 0, 0]}))
    return str(file)


def make_source(tmp_path, **changes):
    arrays = {
        "frames": np.arange(5 * 3 * 3, dtype=np.float64).reshape(5, 3, 3),
        "lengths": np.array([2, 3]),
        "labels": np.array([7, 11]),
        "subjects": np.array(["ann", "bob"]),
        "split": np.array(["train", "test"]),
    }
    arrays |= changes
    folder = tmp_path / "glove"
    folder.mkdir(exist_ok=True)
    np.savez(folder / "day1.npz", **{name: array for name, array in arrays.items() if array is not None})
    return folder


def test_clips_of_a_file(tmp_path, layout):
    first, second = read_npz(make_source(tmp_path), layout=layout)
    assert (first.label, first.subject, first.split, first.source_id) == ("7", "ann", "train", "day1/00000")
    assert (second.label, second.subject, second.split, second.frames) == ("11", "bob", "test", 3)
    assert second.coords[0, 0, 0].tolist() == [18, 19, 20]


def test_one_value_serves_every_clip_and_absent_arrays_are_empty(tmp_path, layout):
    source = make_source(
        tmp_path, split=np.array("val"), subjects=None, labels=None, fps=np.array(60.0), units=np.array("image01")
    )
    clips = list(read_npz(source, layout=layout))
    assert [(clip.split, clip.subject, clip.label, clip.fps, clip.units) for clip in clips] == [
        ("val", "", None, 60.0, "image01")
    ] * 2


def test_labels_kept_as_floats_are_whole_numbers(tmp_path, layout):
    clips = read_npz(make_source(tmp_path, labels=np.array([7.0, -1.0])), layout=layout)
    assert [clip.label for clip in clips] == ["7", None]


@pytest.mark.parametrize("fps", [0.0, -1.0, np.nan, np.inf])
def test_a_clip_needs_a_frame_rate(tmp_path, layout, fps):
    clip = next(read_npz(make_source(tmp_path), layout=layout))
    with pytest.raises(InputError, match="frame rate(.|\n)*day1/00000"):
        dataclasses.replace(clip, fps=fps)


def test_nan_is_a_missing_point(tmp_path, layout):
    frames = np.ones((5, 3, 3))
    frames[1, 2, 0] = np.nan
    first, _ = read_npz(make_source(tmp_path, frames=frames), layout=layout)
    assert np.isnan(first.coords[0, 1, 2]).all()
    assert first.confidence[0, 1].tolist() == [1, 1, 0]


def test_two_bodies(tmp_path, layout):
    first, _ = read_npz(make_source(tmp_path, frames=np.ones((5, 2, 3, 2))), layout=layout)
    assert first.coords.shape == (2, 2, 3, 2)


def test_prepared_labels_are_in_order_of_number(tmp_path, layout):
    prepared = prepare("npz", make_source(tmp_path), out=tmp_path / "store", options={"layout": layout})
    header = json.loads((tmp_path / "store" / "store.json").read_text())
    assert prepared.splits == {"test": 1, "train": 1}
    assert (header["labels"], header["layout"]["names"]) == (["7", "11"], ["wrist", "thumb", "tip"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"frames": np.ones((5, 4, 3))}, "wrong joint count"),
        ({"frames": np.ones((5, 9))}, "wrong kind"),
        ({"frames": np.ones((5, 3, 3), np.int64)}, "wrong kind"),
        ({"frames": np.full((5, 3, 3), np.inf)}, "infinite"),
        ({"frames": np.full((5, 3, 3), 1e300)}, "infinite"),
        ({"frames": None}, "'frames' is absent"),
        ({"frames": np.array([None] * 5, dtype=object)}, "pickle"),
        ({"lengths": np.array([2, 4])}, "add up"),
        ({"lengths": np.array([5, 0])}, "above 0"),
        ({"lengths": np.array([2.0, 3.0])}, "whole numbers"),
        ({"labels": np.array(["a"])}, "'labels' does not fit"),
        ({"split": np.array([["train", "test"]])}, "'split' does not fit"),
        ({"confidence": np.full((5, 3), 2.0)}, "outside 0..1"),
        ({"confidence": np.ones((4, 3))}, "does not fit the points"),
        ({"subject": np.array(["a", "b"])}, "unknown arrays"),
        ({"units": np.array("inches")}, "unknown units"),
        ({"fps": np.array(0.0)}, "'fps' is no frame rate"),
        ({"fps": np.array([30.0, -1.0])}, "'fps' is no frame rate"),
        ({"fps": np.array(np.nan)}, "'fps' is no frame rate"),
        ({"fps": np.array("fast")}, "'fps' is no frame rate"),
        ({"labels": np.array([7.5, 1.0])}, "neither whole numbers"),
        ({"labels": np.array([np.nan, 1.0])}, "neither whole numbers"),
        ({"split": np.array(["training", "test"])}, "unknown split"),
    ],
)
def test_bad_array_names_file_and_reason(tmp_path, layout, changes, reason):
    with pytest.raises(InputError, match=reason) as caught:
        list(read_npz(make_source(tmp_path, **changes), layout=layout))
    assert "day1.npz" in str(caught.value)


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickle_named_npz_is_refused_unread(tmp_path, layout, protocol):
    file = make_source(tmp_path) / "evil.npz"
    file.write_bytes(pickle.dumps(Evil(), protocol=protocol))
    with pytest.raises(InputError, match="pickle|not a .npz") as caught:
        list(read_npz(tmp_path / "glove", layout=layout))
    assert "evil.npz" in str(caught.value)


def test_truncated_npz_is_named(tmp_path, layout):
    file = make_source(tmp_path) / "day1.npz"
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(InputError, match="damaged"):
        list(read_npz(file, layout=layout))


def test_layout_is_needed_and_sources_must_hold_files(tmp_path, layout):
    with pytest.raises(UsageError, match="--layout"):
        list(read_npz(make_source(tmp_path)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.npz"):
        list(read_npz(tmp_path / "empty", layout=layout))


def test_untold_units_are_metres_and_the_command_that_tells_them_is_named(tmp_path, layout, caplog):
    source = make_source(tmp_path)
    clips = list(read_npz(source, layout=layout))
    assert {clip.units for clip in clips} == {"metres"}
    assert f"last-edge data prepare npz {source} --layout {layout} --units metres|image01 --out STORE" in caplog.text
    caplog.clear()
    list(read_npz(source, layout=layout, units="metres"))
    list(read_npz(make_source(tmp_path, units=np.array("image01")), layout=layout))
    assert caplog.text == ""


def test_clips_without_any_point_are_left_out_and_named(tmp_path, layout):
    frames = np.ones((5, 3, 3))
    frames[:2] = np.nan
    source = make_source(tmp_path, frames=frames)
    prepared = prepare("npz", source, out=tmp_path / "store", options={"layout": layout})
    assert (prepared.clips, prepared.left_out) == (1, ("day1/00000",))
    with pytest.raises(InputError, match="no clip shows any point"):
        prepare("npz", make_source(tmp_path, frames=frames * np.nan), out=tmp_path / "none", options={"layout": layout})
    assert not (tmp_path / "none").exists()


def test_a_folder_is_the_label_and_a_file_without_lengths_one_clip(tmp_path):
    frames = np.random.default_rng(0).normal(size=(30, 21, 3)).astype("f4")
    for label in ("hello", "bye"):
        (tmp_path / label).mkdir()
        np.savez(tmp_path / label / "1.npz", frames=frames)
    clips = list(read_npz(tmp_path, layout="mediapipe_hand21", units="image01"))
    assert [(clip.label, clip.coords.shape[1]) for clip in clips] == [("bye", 30), ("hello", 30)]
