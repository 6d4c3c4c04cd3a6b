"""A store with other splits: the same points, one copy on disk, the identity that `data prepare --leave-out` gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from last_edge.clips.store import ClipStore
from last_edge.clips.writer import leave_out
from last_edge.data.prepare import prepare
from last_edge.errors import UsageError


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
