"""Figures of a store: counts, missing points, shared subjects, near-duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.clips import ClipStore, writing_store
from last_edge.data.inspect import inspect, near_duplicates
from last_edge.inputs import fit_window
from last_edge.skeleton import Annotation, SkeletonClip, get_layout

LAYOUT = get_layout("mediapipe_holistic75")


def make_points(seed, frames=20):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(1, frames, 75, 3)), axis=1)


def make_store(path, clips):
    with writing_store(path, layout=LAYOUT, units="image01", labels=("a", "b", "c")) as writer:
        for number, (points, about) in enumerate(clips):
            given = {"label": "a", "subject": "s", "source_id": f"clip{number}"} | about
            writer.add(SkeletonClip.from_points(points, layout=LAYOUT, fps=30, units="image01", **given))
    return ClipStore.open(path)


def test_counts(tmp_path):
    clips = [
        (make_points(0, 10), {"label": "a", "subject": "x", "split": "train"}),
        (make_points(1, 20), {"label": "b", "subject": "y", "split": "train"}),
        (make_points(2, 30), {"label": "b", "subject": "y", "split": "test"}),
        (make_points(3, 40), {"label": None, "subject": "z", "split": ""}),
    ]
    info = inspect(make_store(tmp_path / "s", clips))
    assert (info.clips, info.frames, info.shape) == (4, 100, (1, 75, 3))
    assert (info.labels, info.unlabelled) == ({"a": 1, "b": 2, "c": 0}, 1)
    assert (info.splits, info.subjects) == ({"": 1, "test": 1, "train": 2}, {"x": 1, "y": 2, "z": 1})
    assert info.lengths == (10, 17, 25, 32, 40)
    assert info.shared_subjects == {"test/train": ["y"]}
    assert info.labels_absent_by_split["test"] == ["a", "c"]


def test_time_of_gestures_and_background(tmp_path):
    spans = (Annotation("b", 30, 59), Annotation("c", 60, 74))
    clips = [
        (make_points(0, 90), {"label": None, "subject": "x", "split": "train", "spans": spans}),
        (make_points(1, 30), {"label": None, "subject": "y", "split": "test"}),
    ]
    info = inspect(make_store(tmp_path / "s", clips))
    assert (info.shown_s, info.background_s) == ({"b": 1.0, "c": 0.5}, 2.5)
    assert info.labels_absent_by_split == {"test": ["a", "b", "c"], "train": ["a"]}


def test_recordings_that_are_all_gesture_have_no_background(tmp_path):
    clips = [
        (make_points(0, frames), {"label": None, "split": "train", "spans": (Annotation(label, 0, frames - 1),)})
        for frames, label in ((27, "c"), (30, "a"), (43, "c"))
    ]
    assert f"{inspect(make_store(tmp_path / 's', clips)).background_s:g}" == "0"


def test_missing_points_count_by_clip_and_part(tmp_path):
    absent_hand, half = make_points(0), make_points(1)
    absent_hand[:, :, 33:54] = np.nan
    half[:, :10, 33:54] = np.nan
    info = inspect(make_store(tmp_path / "s", [(absent_hand, {}), (half, {})]))
    assert (info.missing_by_part["left_hand"], info.missing_by_part["right_hand"]) == (0.75, 0.0)
    assert info.missing == pytest.approx(0.75 * 21 / 75, abs=1e-4)
    assert info.empty_bodies == (0.0,)


def test_a_long_clip_has_more_missing_points_than_a_short_one(tmp_path):
    absent_hand, whole = make_points(0, 30), make_points(1, 10)
    absent_hand[:, :, 33:54] = np.nan
    info = inspect(make_store(tmp_path / "s", [(absent_hand, {}), (whole, {})]))
    assert info.missing_by_part["left_hand"] == 0.75
    assert info.missing == pytest.approx(0.75 * 21 / 75, abs=1e-4)


def test_moved_scaled_resampled_noisy_copy_is_found_across_splits_only(tmp_path):
    points, rng = make_points(0), np.random.default_rng(9)
    copy = fit_window(points.astype(np.float32), 33) * 1.3 + 5 + rng.normal(size=(1, 33, 75, 3)) * 0.01
    clips = [
        (points, {"split": "train"}),
        (copy, {"split": "test"}),
        (copy + 1, {"split": "test"}),
        (make_points(5), {"split": "test"}),
        (make_points(6), {"split": "val"}),
    ]
    pairs = near_duplicates(make_store(tmp_path / "s", clips))
    assert {(pair.one, pair.other) for pair in pairs} == {("clip1", "clip0"), ("clip2", "clip0")}
    assert all(pair.distance < 0.03 for pair in pairs)


def test_info_can_skip_the_search(tmp_path):
    clips = [(make_points(0), {"split": "train"}), (make_points(0), {"split": "test"})]
    store = make_store(tmp_path / "s", clips)
    assert len(inspect(store).near_duplicates) == 1
    assert inspect(store, duplicates=False).near_duplicates == ()
