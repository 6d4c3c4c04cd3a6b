"""Preparation: from any reader to a store, with options checked and subjects left out on request."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.clips import ClipStore
from last_edge.data.prepare import READERS, Exchange, prepare
from last_edge.errors import InputError, UsageError


@pytest.fixture
def source(tmp_path):
    """Six hand clips of three people, no split."""
    folder = tmp_path / "hands"
    folder.mkdir()
    subjects = np.array(["a", "a", "b", "b", "c", "c"])
    frames = np.random.default_rng(0).normal(size=(18, 21, 3))
    np.savez(folder / "x.npz", frames=frames, lengths=np.full(6, 3), labels=np.arange(6) % 2, subjects=subjects)
    return folder


OPTIONS = {"layout": "mediapipe_hand21"}


def test_store_and_summary_agree(tmp_path, source):
    prepared = prepare("npz", source, out=tmp_path / "store", options=OPTIONS)
    store = ClipStore.open(tmp_path / "store")
    assert (prepared.clips, prepared.frames, prepared.classes, prepared.sha256) == (6, 18, 2, store.sha256)
    assert (store.about["dataset"], store.about["source"], store.about["options"]["layout"]) == (
        "npz",
        "hands",
        "mediapipe_hand21",
    )


def test_left_out_subjects_test_and_all_others_train(tmp_path, source):
    prepare("npz", source, out=tmp_path / "store", options=OPTIONS, leave_out=["b"])
    store = ClipStore.open(tmp_path / "store")
    assert store.index.split.tolist() == ["train"] * 2 + ["test"] * 2 + ["train"] * 2


def test_unknown_subject_is_not_left_out_silently(tmp_path, source):
    with pytest.raises(UsageError, match="z"):
        prepare("npz", source, out=tmp_path / "store", options=OPTIONS, leave_out=["z"])
    assert not (tmp_path / "store").exists()


def test_only_some_people(tmp_path, source):
    prepare("npz", source, out=tmp_path / "store", options=OPTIONS, subjects=["a", "c"], leave_out=["a"])
    store = ClipStore.open(tmp_path / "store")
    assert store.index.subject.tolist() == ["a", "a", "c", "c"]
    assert store.index.split.tolist() == ["test", "test", "train", "train"]
    with pytest.raises(UsageError, match="z"):
        prepare("npz", source, out=tmp_path / "other", options=OPTIONS, subjects=["z"])


def test_labels_the_wrong_way_round_are_exchanged_for_one_person(tmp_path, source):
    prepare("npz", source, out=tmp_path / "store", options=OPTIONS, exchange=[Exchange("b", "0", "1")])
    store = ClipStore.open(tmp_path / "store")
    assert [store.labels[label] for label in store.index.label] == ["0", "1", "1", "0", "0", "1"]
    assert store.about["options"]["exchange"] == [{"subject": "b", "one": "0", "other": "1"}]
    with pytest.raises(UsageError, match="b with the label 7"):
        prepare("npz", source, out=tmp_path / "other", options=OPTIONS, exchange=[Exchange("b", "0", "7")])


def test_dry_run_counts_and_writes_nothing(tmp_path, source):
    prepared = prepare("npz", source, out=tmp_path / "store", options=OPTIONS, dry_run=True, limit=4)
    assert (prepared.clips, prepared.classes, prepared.sha256) == (4, 2, "")
    assert not (tmp_path / "store").exists()


def test_same_source_same_store(tmp_path, source):
    shas = [prepare("npz", source, out=tmp_path / name, options=OPTIONS).sha256 for name in "xy"]
    assert shas[0] == shas[1]


def test_an_existing_store_stops_before_anything_is_read(tmp_path, source):
    prepare("npz", source, out=tmp_path / "store", options=OPTIONS)
    with pytest.raises(UsageError, match="--force"):
        prepare("npz", tmp_path / "absent", out=tmp_path / "store", options=OPTIONS)


def test_one_damaged_file_is_named_and_left_out(tmp_path, source):
    whole = prepare("npz", source, out=tmp_path / "whole", options=OPTIONS)
    np.savez(source / "y.npz", frames=np.full((3, 21, 3), np.inf), lengths=np.array([3]))
    (source / "z.npz").write_bytes(b"")
    prepared = prepare("npz", source, out=tmp_path / "store", options=OPTIONS)
    assert prepared.clips == whole.clips and len(prepared.damaged) == 2 and whole.damaged == ()
    assert "y.npz" in prepared.damaged[0] and "infinite point" in prepared.damaged[0]


def test_where_every_file_is_damaged_the_first_one_is_told(tmp_path):
    (tmp_path / "files").mkdir()
    np.savez(tmp_path / "files" / "y.npz", frames=np.full((3, 21, 3), np.inf), lengths=np.array([3]))
    with pytest.raises(InputError, match=r"y\.npz"):
        prepare("npz", tmp_path / "files", out=tmp_path / "store", options=OPTIONS)


def test_bad_clip_leaves_no_store(tmp_path, source):
    np.savez(source / "y.npz", frames=np.full((3, 21, 3), np.inf), lengths=np.array([3]))
    with pytest.raises(InputError, match=r"y\.npz"):
        prepare("npz", source, out=tmp_path / "store", options=OPTIONS, strict=True)
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "store.partial").exists()


def test_wrong_names_are_answered(tmp_path, source):
    with pytest.raises(UsageError, match="shrec17"):
        prepare("shrec", source, out=tmp_path / "store")
    with pytest.raises(UsageError, match="no option 'labels'"):
        prepare("npz", source, out=tmp_path / "store", options={"labels": 28})


@pytest.mark.parametrize("name", READERS)
def test_every_option_is_a_keyword_of_its_reader(name):
    import inspect

    parameters = inspect.signature(READERS[name].read).parameters
    keywords = {key for key, value in parameters.items() if value.kind is inspect.Parameter.KEYWORD_ONLY}
    assert set(READERS[name].options) == keywords
    assert READERS[name].licence
