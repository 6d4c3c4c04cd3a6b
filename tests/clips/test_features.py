"""Features beside a store: written whole, bound to its clips, refused when damaged or of another width."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips.features import feature_names, features_for, open_features, write_features
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.clips.writer import leave_out
from last_edge.errors import InputError, UsageError
from last_edge.inputs import InputSpec
from last_edge.inputs.features import FeatureInput, feature_window, pick
from last_edge.tools.cli import main

WIDTH = 6


@pytest.fixture
def store(toy_store: Path, tmp_path: Path) -> ClipStore:
    """A copy of the toy store, with features but for clip 3."""
    shutil.copytree(toy_store, tmp_path / "store")
    opened = ClipStore.open(tmp_path / "store")
    write_features(opened, "visual", arrays(opened), about={"model": "none"})
    return opened


def arrays(store: ClipStore) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [
        random.normal(size=(0 if clip == 3 else 2 + clip % 5, WIDTH)).astype(np.float32) for clip in range(len(store))
    ]


def test_rows_come_back_by_clip(store: ClipStore) -> None:
    found = open_features(store, "visual")
    found.verify()
    assert (found.width, feature_names(store), len(found.of(3))) == (WIDTH, ["visual"], 0)
    for clip, rows in enumerate(arrays(store)):
        np.testing.assert_array_equal(found.of(clip), rows)


def test_windows_take_the_nearest_rows() -> None:
    rows = np.arange(5, dtype=np.float32)[:, None]
    assert feature_window(rows, 3).ravel().tolist() == [0, 2, 4]
    assert feature_window(rows[:2], 4).ravel().tolist() == [0, 0, 1, 1]
    assert np.isnan(feature_window(rows[:0], 4)).all()


def test_a_batch_holds_both_inputs(store: ClipStore) -> None:
    spec, wanted = InputSpec(store.layout, frames=8), FeatureInput("visual", 4, WIDTH)
    clips = np.array([1, 3])
    batch = plain_batch(store, clips, spec, wanted)
    np.testing.assert_array_equal(batch["landmarks"], plain_batch(store, clips, spec)["landmarks"])
    assert list(batch) == ["landmarks", "visual"] and batch["visual"].shape == (2, 4, WIDTH)
    assert np.isnan(batch["visual"][1]).all() and not np.isnan(batch["visual"][0]).any()
    np.testing.assert_array_equal(pick(batch, slice(1, None))["landmarks"], batch["landmarks"][1:])


def test_another_width_is_refused(store: ClipStore) -> None:
    with pytest.raises(InputError, match="another width"):
        features_for(store, FeatureInput("visual", 4, WIDTH + 1))


def test_absent_features_are_named_with_the_command(store: ClipStore) -> None:
    with pytest.raises(InputError, match="data extract"):
        open_features(store, "other")


def test_features_of_other_clips_are_refused(store: ClipStore, toy_store: Path, tmp_path: Path) -> None:
    other = leave_out(ClipStore.open(toy_store), tmp_path / "fold", subjects=["1"])
    shutil.copytree(store.path / "features", other.path / "features")
    open_features(other, "visual")  # the same points in the same order, whatever the splits
    header = store.path / "features" / "visual" / "features.json"
    header.write_text(header.read_text().replace(store.header.files["frames.npy"].sha256, "0" * 64))
    with pytest.raises(InputError, match="other clips"):
        open_features(store, "visual")


def test_a_fold_keeps_them(store: ClipStore, tmp_path: Path) -> None:
    fold = leave_out(store, tmp_path / "fold", subjects=["2"])
    np.testing.assert_array_equal(open_features(fold, "visual").rows, open_features(store, "visual").rows)


@pytest.mark.parametrize("file", ["rows.npy", "lengths.npy"])
def test_damage_is_found(store: ClipStore, file: str) -> None:
    path = store.path / "features" / "visual" / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=f"{file}|damaged"):
        open_features(store, "visual").verify()
    path.write_bytes(bytes(content[:60]))
    with pytest.raises(InputError, match="damaged"):
        open_features(store, "visual")


def test_what_does_not_fit_is_not_written(store: ClipStore) -> None:
    whole = arrays(store)
    for broken, match in (
        (whole[:-1], "fit the clips"),
        ([*whole[:-1], whole[-1][:, 1:]], "another shape"),
        ([*whole[:-1], whole[-1] * np.nan], "NaN"),
    ):
        with pytest.raises(InputError, match=match):
            write_features(store, "more", broken, about={})
    assert feature_names(store) == ["visual"]
    with pytest.raises(UsageError, match="overwrite"):
        write_features(store, "visual", whole, about={})


def test_info_hashes_them_too(store: ClipStore) -> None:
    assert main(["data", "info", str(store.path), "--verify", "--json", "--no-duplicates"]) == 0
    path = store.path / "features" / "visual" / "rows.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert main(["data", "info", str(store.path), "--verify", "--json", "--no-duplicates"]) == 3
