"""The 8-bit file of a stream: it answers as the float one does, however long it runs."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from last_edge.bundle import Bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.errors import GateError, UsageError
from last_edge.export.bundles.bundle_writer import export_run
from last_edge.export.int8.plan import Plan
from last_edge.export.int8.qat import QatOptions
from last_edge.export.int8.quantize_bundle import preview_quantize, quantize_bundle
from last_edge.export.proof.span_events import evaluate_bundle_spans
from last_edge.export.proof.verify import verify_bundle
from last_edge.runtime.recognise.model import open_stepper
from last_edge.skeleton import Annotation
from last_edge.tasks.config import QuantizeConfig
from last_edge.tasks.stream.frames import stream_labels, taught
from last_edge.train.evaluate import evaluate_run
from tests.streaming.conftest import GESTURES, LABELS, hand

LIMITS = QuantizeConfig(method="minmax", min_speedup=0.0)


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory, run: Path, store: ClipStore) -> Path:
    """A bundle with both files, measured."""
    path = tmp_path_factory.mktemp("int8") / "bundle"
    export_run(run, path, store=store)
    quantize_bundle(path, store, Plan.of(LIMITS))
    return path


def agreement(path: Path, points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether both files say the same of each frame of one endless run (T, V, C)."""
    bundle = Bundle.open(path)
    best = {}
    for precision in ("fp32", "int8"):
        logits, _ = open_stepper(bundle, bundle.graph(precision)).sequences(points[None])
        best[precision] = logits[0].argmax(1)
    return np.asarray(best["fp32"] == best["int8"])


def test_it_passes_its_gates_and_is_proven(quantised: Path, store: ClipStore) -> None:
    checks = verify_bundle(quantised, store)
    assert all(check.holds for check in checks), [check for check in checks if not check.holds]
    assert {"int8 golden", "parity fp32:int8 on test", "calibration"} <= {check.name for check in checks}


def test_products_are_in_8_bits_and_the_states_are_not(quantised: Path) -> None:
    bundle = Bundle.open(quantised)
    graph = onnx.load_from_string(bundle.graph("int8")).graph
    assert sum(len(value.raw_data) for value in graph.initializer if value.data_type == onnx.TensorProto.INT8) > 70_000
    assert len(bundle.graph("int8")) < 0.5 * len(bundle.graph("fp32"))
    kinds = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert kinds == {onnx.TensorProto.FLOAT}


def test_it_agrees_on_frames_that_calibrated_nothing(quantised: Path) -> None:
    """These weights were never trained: their classes lie nearer to each other than any trained ones."""
    assert agreement(quantised, np.concatenate([hand(500, seed=seed) for seed in (6, 7, 8)])).mean() >= 0.98


def test_ranges_are_found_by_percentile_where_nothing_else_is_asked_for(
    quantised: Path, store: ClipStore, tmp_path: Path
) -> None:
    assert Bundle.open(quantised).manifest.calibration["method"] == "minmax"
    shutil.copytree(quantised, tmp_path / "bundle")
    for plan in (Plan(), Plan.of(QuantizeConfig(min_speedup=0.0))):
        made = quantize_bundle(tmp_path / "bundle", store, plan, force=True).manifest
        assert made.calibration["method"] == "percentile"


@pytest.mark.slow
def test_it_agrees_as_well_in_the_last_of_100_000_frames(quantised: Path) -> None:
    """More than an hour at 25 frames a second without a new start; the end shows what the beginning showed."""
    shown = np.concatenate([hand(500, seed=number) for number in range(20)])
    same = agreement(quantised, np.tile(shown, (10, 1, 1)))
    assert len(same) == 100_000 and same[-10_000:].mean() >= same[:10_000].mean() - 0.001


def test_a_file_that_misses_a_gate_is_not_shipped(run: Path, store: ClipStore, tmp_path: Path) -> None:
    export_run(run, tmp_path / "bundle", store=store)
    with pytest.raises(GateError, match="the INT8 file is not shipped"):
        quantize_bundle(
            tmp_path / "bundle", store, Plan.of(QuantizeConfig(method="minmax", min_speedup=0, max_bytes_fixed=0,
                                                               max_bytes_per_param=0.5))
        )  # fmt: skip
    assert Bundle.open(tmp_path / "bundle").precisions == ("fp32",)


def test_a_preview_says_what_would_be_done(bundle_path: Path, store: ClipStore) -> None:
    said = preview_quantize(bundle_path, store, Plan.of(LIMITS), split="test", force=False)
    assert said["clips_for_calibration"] == 6 and "model.int8.onnx" in said["files"]


def test_what_a_stream_has_no_use_for_is_refused(bundle_path: Path, store: ClipStore) -> None:
    with pytest.raises(UsageError, match="--qat is for classifiers"):
        quantize_bundle(bundle_path, store, Plan.of(LIMITS, qat=QatOptions(epochs=1)))


@pytest.fixture(scope="module")
def with_strange_test(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """The store, whose test shows a gesture more than its training."""
    path = tmp_path_factory.mktemp("strange") / "store"
    with writing_store(path, layout=store.layout, units="metres", labels=("knock", *GESTURES), about={}) as writer:
        for number in range(len(store)):
            clip = store.clip(number)
            more = (Annotation("knock", 20, 60),) if clip.split == "test" else ()
            writer.add(dataclasses.replace(clip, spans=(*more, *clip.spans)))
    return ClipStore.open(path)


def test_what_only_a_stores_test_shows_is_no_class(
    ruled_path: Path, run: Path, store: ClipStore, with_strange_test: ClipStore, tmp_path: Path
) -> None:
    """It is a movement that means nothing, in training, export, figures, rounding and proof alike."""
    assert stream_labels(with_strange_test) == LABELS
    seen = taught(with_strange_test)
    assert seen.labels == GESTURES
    for number in range(len(store)):
        np.testing.assert_array_equal(seen.index.spans[number], store.index.spans[number])
    assert evaluate_bundle_spans(Bundle.open(ruled_path), with_strange_test) == evaluate_bundle_spans(
        Bundle.open(ruled_path), store
    )
    assert evaluate_run(run, with_strange_test) == evaluate_run(run, store)
    bundle = tmp_path / "bundle"
    export_run(run, bundle, store=with_strange_test)
    quantize_bundle(bundle, with_strange_test, Plan.of(LIMITS))
    checks = verify_bundle(bundle, with_strange_test)
    assert all(check.holds for check in checks), [check for check in checks if not check.holds]
