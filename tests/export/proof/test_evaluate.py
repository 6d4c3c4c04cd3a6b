"""Bundles and runs measured on stores that hold some of their labels, in an order of their own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.errors import InputError
from last_edge.export.proof.evaluate import evaluate_bundle
from last_edge.tools.cli import main
from last_edge.train.evaluate import evaluate_run


def own_takes(store: ClipStore, path: Path, **names: str) -> ClipStore:
    """The test clips of `tap` and `grab` under other numbers, and under other names where they are given."""
    labels = tuple(names.get(label, label) for label in ("tap", "grab"))
    with writing_store(path, layout=store.layout, units=store.units, labels=labels) as writer:
        for number in store.select(split="test"):
            clip = store.clip(int(number))
            if clip.label in ("tap", "grab"):
                writer.add(dataclasses.replace(clip, label=names.get(clip.label, clip.label)))
    return ClipStore.open(path)


def test_labels_are_matched_by_name(exported: Path, run: Path, store: ClipStore, tmp_path: Path) -> None:
    own = own_takes(store, tmp_path / "own")
    for figures, whole in (
        (evaluate_bundle(exported, own), evaluate_bundle(exported, store)),
        (evaluate_run(run, own), evaluate_run(run, store)),
    ):
        kept = {name: share for name, share in whole["per_class"].items() if name != "swipe"}
        assert figures["per_class"] == kept and figures["labels"] == whole["labels"]
        assert figures["n"] == 6 and figures["mean_class"] == round(float(np.mean(list(kept.values()))), 2)
        assert (figures["absent"], whole["absent"]) == (["swipe"], [])


def test_absent_labels_are_told(
    exported: Path, store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", str(exported), "--store", str(own_takes(store, tmp_path / "own").path)]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["absent"] == ["swipe"]
    assert main(command) == 0
    assert "not measured, no clip in the split: swipe" in capsys.readouterr().out


def test_labels_that_were_never_learnt_are_named(exported: Path, run: Path, store: ClipStore, tmp_path: Path) -> None:
    own = own_takes(store, tmp_path / "own", grab="grabbed")
    for measure in (evaluate_bundle, evaluate_run):
        with pytest.raises(InputError, match=r"got: grabbed \(similar: grabbed: grab\)") as refused:
            measure(exported if measure is evaluate_bundle else run, own)  # type: ignore[operator]
        assert "never learnt" in refused.value.what and "--finetune" in str(refused.value.hint)
