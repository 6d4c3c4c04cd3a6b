"""Official NSLT subsets: their counts, splits, classes and frames; bad rows are named."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.clips import ClipStore
from last_edge.data.prepare import prepare
from last_edge.data.readers.nslt import Subset, nslt_labels, read_nslt
from last_edge.errors import InputError
from last_edge.skeleton import Layout, SkeletonClip

ROWS = {
    "00001": {"subset": "train", "action": [1, 3, 6]},
    "00002": {"subset": "test", "action": [0, 1, -1]},
    "00003": {"subset": "val", "action": [1, 9, 12]},
}


def subset_file(folder: Path, rows: dict[str, Any] = ROWS, *, names: str = "0\tbook\n1\tdrink\n2\tgo\n") -> Path:
    path = folder / "nslt_2.json"
    path.write_text(json.dumps(rows))
    if names:
        (folder / "wlasl_class_list.txt").write_text(names)
    return path


@pytest.mark.parametrize(
    ("classes", "counts"),
    [(100, {"train": 1442, "val": 338, "test": 258}), (1000, {"train": 8978, "val": 2320, "test": 1876})],
)
def test_the_official_files(real: Callable[[str], Path], classes: int, counts: dict[str, int]) -> None:
    path = real("wlasl") / f"nslt_{classes}.json"
    rows = read_nslt(path)
    assert Counter(row.split for row in rows.values()) == counts
    assert len(nslt_labels(path)) == classes == len({row.label for row in rows.values()})
    assert nslt_labels(path)[:3] == ("book", "drink", "computer")


def test_a_recording_is_cut_to_its_sign(tmp_path: Path, toy_layout: Layout) -> None:
    subset = Subset(subset_file(tmp_path))
    points = np.arange(10, dtype=np.float32)[None, :, None, None] * np.ones((1, 1, 5, 3))
    clip = SkeletonClip.from_points(points, layout=toy_layout, fps=25, units="metres")
    assert subset.cut(clip, "a/00001.pose").coords[0, :, 0, 0].tolist() == [2, 3, 4, 5]
    assert subset.cut(clip, "00002.pose").frames == 10
    assert subset.cut(clip, "00003.pose").coords[0, :, 0, 0].tolist() == [8, 9]
    assert subset.about("a/00001.pose") == {"label": "drink", "split": "train"}
    with pytest.raises(InputError, match="ends before its sign"):
        subset.cut(SkeletonClip.from_points(points[:, :4], layout=toy_layout, fps=25, units="metres"), "00003.pose")


def test_without_a_class_list_the_numbers_are_the_names(tmp_path: Path) -> None:
    assert nslt_labels(subset_file(tmp_path, names="")) == ("0", "1")


def test_a_class_list_that_is_too_short_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no 1"):
        nslt_labels(subset_file(tmp_path, names="0\tbook\n"))


@pytest.mark.parametrize(
    "row",
    [
        {"subset": "dev", "action": [0, 1, 2]},
        {"subset": "train"},
        {"subset": "train", "action": [0, 1]},
        {"subset": "train", "action": [-1, 1, 2]},
        {"subset": "train", "action": [0, 0, 2]},
        {"subset": "train", "action": ["a", 1, 2]},
        [],
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: Any) -> None:
    with pytest.raises(InputError, match="00009"):
        read_nslt(subset_file(tmp_path, ROWS | {"00009": row}))


@pytest.mark.parametrize("values", [[], {}, 3])
def test_another_file_is_refused(tmp_path: Path, values: Any) -> None:
    with pytest.raises(InputError, match="no NSLT subset"):
        read_nslt(subset_file(tmp_path, values))


def test_a_store_of_the_subset(tmp_path: Path, real: Callable[[str], Path], caplog: pytest.LogCaptureFixture) -> None:
    poses = tmp_path / "poses"
    poses.mkdir()
    for name in ("00001", "00002", "99999"):
        shutil.copy(real("clips") / "mediapipe.pose", poses / f"{name}.pose")
    options = {"index": subset_file(tmp_path), "layout": "mediapipe_holistic75", "axes": 2}
    with caplog.at_level(logging.WARNING):
        made = prepare("pose", poses, out=tmp_path / "store", options=options)
    assert "1 of the 3 recordings" in caplog.text
    store = ClipStore.open(tmp_path / "store")
    assert (made.splits, store.labels) == ({"test": 1, "train": 1}, ("book", "drink"))
    assert store.index.length[store.select(split="train")].tolist() == [4]
    (poses / "00001.pose").unlink()
    (poses / "00002.pose").unlink()
    with pytest.raises(InputError, match="no recording of the subset"):
        prepare("pose", poses, out=tmp_path / "other", options=options)


def test_the_table_of_wlasl_brings_glosses_signers_and_frames(tmp_path: Path) -> None:
    instance = {"frame_start": 1, "frame_end": -1, "split": "train", "video_id": "00335", "signer_id": 90}
    table = [
        {"gloss": "book", "instances": [instance]},
        {
            "gloss": "drink",
            "instances": [instance | {"video_id": "00336", "split": "test", "frame_start": 4, "frame_end": 9}],
        },
    ]
    path = tmp_path / "WLASL_v0.3.json"
    path.write_text(json.dumps(table))
    subset = Subset(path)
    assert subset.labels == ("book", "drink") and set(subset.rows) == {"00335", "00336"}
    assert subset.about("a/00336.pose") == {"label": "drink", "split": "test", "subject": "90"}
    assert (subset.rows["00336"].first, subset.rows["00336"].last) == (4, 9)
    for row in ({"video_id": "1"}, instance | {"split": None}, instance | {"frame_start": float("inf")}, 2, None):
        path.write_text(json.dumps([{"gloss": "book", "instances": [row]}]))
        with pytest.raises(InputError, match="not a row of"):
            Subset(path)


def test_wlasl_is_prepared_by_one_command(tmp_path: Path, real: Callable[[str], Path]) -> None:
    source = tmp_path / "wlasl"
    source.mkdir()
    instance = {"frame_start": 1, "frame_end": -1, "split": "train", "signer_id": 1}
    for name in ("00335", "00336"):
        shutil.copy(real("clips") / "mediapipe.pose", source / f"{name}.pose")
    table = [
        {"gloss": gloss, "instances": [instance | {"video_id": name}]}
        for gloss, name in (("book", "00335"), ("drink", "00336"))
    ]
    (source / "WLASL_v0.3.json").write_text(json.dumps(table))
    prepared = prepare("wlasl", source, out=tmp_path / "store", options={"layout": "mediapipe_holistic75"})
    store = ClipStore.open(tmp_path / "store")
    assert prepared.clips == 2 and store.labels == ("book", "drink") and store.index.subject.tolist() == ["1", "1"]
