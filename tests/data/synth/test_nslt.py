"""Made NSLT clips: official classes, counts and splits; the same seed the same store; features that tell classes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips.features import open_features
from last_edge.clips.store import ClipStore
from last_edge.tools.cli import main

COUNTS = {("train", 0): 6, ("train", 1): 2, ("val", 0): 2, ("val", 1): 1, ("test", 0): 3, ("test", 1): 1}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    rows = [(split, label) for (split, label), count in COUNTS.items() for _ in range(count)]
    content = {f"{n:05d}": {"subset": split, "action": [label, 1, 30]} for n, (split, label) in enumerate(rows)}
    path = tmp_path / "nslt_2.json"
    path.write_text(json.dumps(content))
    return path


def counts(store: ClipStore) -> dict[tuple[str, int], int]:
    return dict(Counter(zip(store.index.split.tolist(), store.index.label.tolist(), strict=True)))


def test_the_official_counts(index: Path, tmp_path: Path) -> None:
    assert main(["data", "synth-nslt", str(index), "--out", str(tmp_path / "store"), "--quiet"]) == 0
    store = ClipStore.open(tmp_path / "store")
    assert counts(store) == COUNTS and store.index.source_id[0] == "00000"
    assert open_features(store, "visual").rows.shape == (15 * 4, 64)
    assert main(["data", "synth-nslt", str(index), "--out", str(tmp_path / "again"), "--quiet"]) == 0
    again = ClipStore.open(tmp_path / "again")
    assert again.sha256 == store.sha256
    np.testing.assert_array_equal(open_features(again, "visual").rows, open_features(store, "visual").rows)


def test_as_many_test_clips_as_wanted(index: Path, tmp_path: Path) -> None:
    command = ["data", "synth-nslt", str(index), "--out", str(tmp_path / "store"), "--test-clips", "5", "--quiet"]
    assert main(command) == 0
    got = counts(ClipStore.open(tmp_path / "store"))
    assert got == {**COUNTS, ("test", 0): 5, ("test", 1): 5}


def test_without_noise_a_class_is_its_own(index: Path, tmp_path: Path) -> None:
    assert main(["data", "synth-nslt", str(index), "--out", str(tmp_path / "s"), "--noise", "0", "--quiet"]) == 0
    store = ClipStore.open(tmp_path / "s")
    means = open_features(store, "visual").windows(range(len(store)), 4).mean(1)
    first, other = means[store.index.label == 0], means[store.index.label == 1]
    assert first.std(axis=0).mean() < 0.3 * np.abs(first.mean(0) - other.mean(0)).mean()


def test_a_dry_run_writes_nothing(index: Path, tmp_path: Path) -> None:
    assert main(["data", "synth-nslt", str(index), "--out", str(tmp_path / "store"), "--dry-run", "--quiet"]) == 0
    assert not (tmp_path / "store").exists()
