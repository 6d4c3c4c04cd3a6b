"""Stores made of stores: clips are added, the old store is whole until the new one is; splits change, points stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore
from last_edge.clips.writer import append_clips, leave_out
from last_edge.data.prepare import prepare
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import SkeletonClip, get_layout

HAND = get_layout("mediapipe_hand21")


def clip(label: str, name: str, *, layout: str = "mediapipe_hand21") -> SkeletonClip:
    joints = get_layout(layout)
    points = np.random.default_rng(len(name)).normal(size=(1, 6, joints.joints, 3))
    return SkeletonClip.from_points(
        points, layout=joints, fps=30, units="image01", label=label, subject="anna", source_id=name
    )


def test_known_labels_keep_their_numbers_and_clips_their_points(tmp_path: Path) -> None:
    path = tmp_path / "store"
    first = append_clips(path, [clip("wave", "a"), clip("clap", "bb")], about={"dataset": "mine"})
    before = first.points(0).copy()
    both = append_clips(path, [clip("bow", "ccc"), clip("clap", "dddd")], about={"dataset": "another"})
    assert first.labels == ("clap", "wave") and both.labels == ("clap", "wave", "bow")
    assert both.index.source_id.tolist() == ["a", "bb", "ccc", "dddd"]
    assert [both.labels[number] for number in both.index.label] == ["wave", "clap", "bow", "clap"]
    np.testing.assert_array_equal(both.points(0), before)
    assert both.about == {"dataset": "mine"}
    both.verify()


def test_dropped_clips_leave_and_an_empty_store_is_never_made(tmp_path: Path) -> None:
    path = tmp_path / "store"
    append_clips(path, [clip("wave", "a"), clip("wave", "bb")])
    assert append_clips(path, [clip("wave", "ccc")], drop=[0]).index.source_id.tolist() == ["bb", "ccc"]
    with pytest.raises(InputError, match="no clips"):
        append_clips(path, [], drop=[0, 1])
    assert len(ClipStore.open(path)) == 2


def test_a_clip_that_does_not_fit_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "store"
    before = append_clips(path, [clip("wave", "a")]).sha256
    for wrong in (clip("wave", "a"), clip("wave", "bb", layout="shrec22")):
        with pytest.raises(InputError):
            append_clips(path, [wrong])
    assert ClipStore.open(path).sha256 == before
    assert [item.name for item in tmp_path.iterdir()] == ["store"]


def test_the_left_out_test_and_all_others_train(toy_store: Path, tmp_path: Path) -> None:
    whole = ClipStore.open(toy_store)
    made = leave_out(whole, tmp_path / "fold", subjects=["2"])
    made.verify()
    assert set(made.index.subject[made.select(split="test")]) == {"2"}
    assert set(made.index.subject[made.select(split="train")]) == {"1", "3", "4", "5", "6"}
    np.testing.assert_array_equal(made.frames, whole.frames)
    assert (tmp_path / "fold" / "frames.npy").samefile(toy_store / "frames.npy")
    assert made.about["options"]["leave_out"] == ["2"]


def test_it_is_what_preparing_gives(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    points = np.random.default_rng(0).normal(size=(20, 21, 3)).astype(np.float32)
    about = {"lengths": [5] * 4, "labels": ["a", "b"] * 2, "subjects": ["x", "x", "y", "y"]}
    np.savez(folder / "all.npz", frames=points, **{name: np.array(values) for name, values in about.items()})
    options = {"layout": "mediapipe_hand21", "units": "image01"}
    prepare("npz", folder, out=tmp_path / "whole", options=options)
    prepare("npz", folder, out=tmp_path / "prepared", options=options, leave_out=["y"])
    made = leave_out(ClipStore.open(tmp_path / "whole"), tmp_path / "made", subjects=["y"])
    assert made.sha256 == ClipStore.open(tmp_path / "prepared").sha256


def test_unknown_people_are_named(toy_store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="9"):
        leave_out(ClipStore.open(toy_store), tmp_path / "fold", subjects=["9"])
    assert not (tmp_path / "fold").exists()
