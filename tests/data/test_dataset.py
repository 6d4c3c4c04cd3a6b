"""Augmented windows that come again: the same bits, drawn once, kept only where they fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore, writing_store
from last_edge.data import dataset
from last_edge.data.augment import Augment
from last_edge.data.dataset import ClipDataset
from last_edge.inputs import InputSpec
from last_edge.skeleton import SkeletonClip, get_layout


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    layout = get_layout("mediapipe_hand21")
    with writing_store(tmp_path / "store", layout=layout, units="image01") as writer:
        for number in range(3):
            points = np.random.default_rng(number).random((1, 9, 21, 3), np.float32)
            writer.add(SkeletonClip.from_points(
                points, layout=layout, fps=30, units="image01", label="wave", source_id=str(number), split="train"
            ))  # fmt: skip
    return ClipStore.open(tmp_path / "store")


def drawn(store: ClipStore, epochs: range, views: int) -> list[bytes]:
    clips = ClipDataset(
        store, np.arange(3), spec=InputSpec(store.layout, 8, 3, 1), ranges=Augment(rotation_deg=20), views=views
    )
    found = []
    for epoch in epochs:
        clips.epoch = epoch
        found += [clips[item][0].numpy().tobytes() for item in range(3)]
    return found


def test_kept_views_are_those_that_are_drawn_anew(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = drawn(store, range(5), views=2)
    monkeypatch.setattr(dataset, "MOST_KEPT", 0)
    assert kept == drawn(store, range(5), views=2)
    assert kept[:6] == kept[6:12]
    assert kept[:3] != kept[3:6]


def test_views_are_drawn_once_where_they_fit_and_each_time_where_not(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    real = dataset.augment
    monkeypatch.setattr(dataset, "augment", lambda *a, **k: (calls.append(1), real(*a, **k))[1])
    drawn(store, range(6), views=2)
    assert len(calls) == 2 * 3
    drawn(store, range(6), views=0)
    assert len(calls) == 2 * 3 + 6 * 3
