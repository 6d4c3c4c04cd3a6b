"""The least probability worth reporting comes from people held out of training, or from nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from last_edge.bundle import Bundle
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError
from last_edge.export.bundles import sources
from last_edge.export.bundles.bundle_writer import export_run
from last_edge.export.bundles.thresholds import accept_threshold, validation_clips
from last_edge.export.onnx import onnx_graph
from last_edge.runtime.recognise.decoding import USUAL_THRESHOLD
from last_edge.train.checkpoint import load_checkpoint


def logits_with(top: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n, 2) logits whose first class has these probabilities."""
    return np.stack([np.log(top), np.log(1 - top)], axis=1).astype(np.float32)


def test_it_is_the_lowest_that_keeps_95_percent_right() -> None:
    top = np.repeat([0.6055, 0.7055, 0.9055], [10, 20, 80])
    labels = np.zeros(110, np.int64)
    labels[:10], labels[10:15] = 1, 1  # the least sure ten are wrong, and five of the next
    found = accept_threshold(logits_with(top), labels)
    assert found == {"accept": 0.705, "accept_right": 95.0, "accept_share": 90.91, "accept_clips": 110.0}
    labels[15] = 1
    assert accept_threshold(logits_with(top), labels)["accept"] == 0.905


def test_too_few_or_too_wrong_clips_give_none() -> None:
    top = np.full(40, 0.9)
    assert accept_threshold(logits_with(top[:19]), np.zeros(19, np.int64)) == {}
    assert accept_threshold(logits_with(top), np.arange(40) % 2) == {}
    assert accept_threshold(logits_with(top), np.zeros(40, np.int64)) == {}, "nothing to refuse"
    assert accept_threshold(np.zeros((0, 2), np.float32), np.zeros(0, np.int64)) == {}


def test_only_training_clips_of_held_out_people_count(finished: Path, store: ClipStore, run: Path) -> None:
    clips = validation_clips(load_checkpoint(finished), store)
    assert set(store.index.subject[clips]) == {"1"} and set(store.index.split[clips]) == {"train"} and len(clips) == 6
    assert not len(validation_clips(load_checkpoint(run), store)), "no run around the checkpoint"
    (finished / "final.json").write_text('{"val_subjects": []}')
    assert not len(validation_clips(load_checkpoint(finished), store))
    (finished / "final.json").write_text('{"val_subjects": 3}')
    with pytest.raises(InputError, match=r"final\.json"):
        validation_clips(load_checkpoint(finished), store)


def test_the_bundle_says_how_it_was_found(
    finished: Path, exported: Path, store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Bundle.open(exported)
    assert plain.manifest.thresholds == {} and USUAL_THRESHOLD == 0.6
    monkeypatch.setattr(onnx_graph, "to_onnx", lambda *_, **__: plain.graph("fp32"))
    found = {"accept": 0.7, "accept_right": 95.5, "accept_share": 80.0, "accept_clips": 6.0}
    monkeypatch.setattr(sources, "accept_threshold", lambda _, labels: found if len(labels) == 6 else {})
    manifest = export_run(finished, tmp_path / "b", store=store)
    assert found.items() <= manifest.thresholds.items()
    assert {"temperature", "energy", "energy_kept", "energy_refused"} <= manifest.thresholds.keys()
    assert "6 validation clips" in Bundle.open(tmp_path / "b").read("card.md").decode()
