"""A bundle that answers at every frame: its graph is the model, and the manifest says how it is fed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from last_edge import records
from last_edge.bundle import Bundle, write_bundle
from last_edge.bundle.bundle import Golden
from last_edge.bundle.manifest import CARD, EVENT_FIGURES, GOLDEN, SPANS
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError, UsageError
from last_edge.export.bundles.bundle_writer import export_run
from last_edge.export.onnx.onnx_graph import metadata_of
from last_edge.export.proof.evaluate import deployed
from last_edge.export.proof.parity import bundle_parity
from last_edge.export.proof.span_events import evaluate_bundle_spans
from last_edge.export.proof.verify import verify_bundle
from last_edge.models.last_lite_stream import LastLiteStream
from last_edge.runtime.recognise.model import open_stepper
from last_edge.runtime.recognise.spans import SpanRules
from last_edge.runtime.recogniser import Recogniser
from tests.streaming.conftest import GESTURES, LABELS, SPEC, hand


def test_manifest_says_how_it_is_fed(bundle: Bundle, model: LastLiteStream) -> None:
    stream = bundle.manifest.stream
    assert stream is not None and stream.rate == model.rate
    assert (stream.delay, stream.receptive_field) == (model.delay, model.receptive_field)
    assert stream.state_bytes == model.state_size <= 64 * 1024
    assert metadata_of(bundle.graph("fp32"))["time"] == "step"
    assert f"`landmarks_t` float32 (N, {SPEC.layout.joints}, 3)" in bundle.read("card.md").decode()


@pytest.mark.parametrize("count", [12, pytest.param(500, marks=pytest.mark.slow)])
@torch.no_grad()
def test_graph_is_the_model_at_every_frame(bundle: Bundle, model: LastLiteStream, count: int) -> None:
    """Clip, steps and the file: logits of every frame and the states, of sequences of random length."""
    stepper, random = open_stepper(bundle, bundle.graph("fp32")), np.random.default_rng(0)
    for number in range(count):
        frames = int(random.integers(2, 200))
        points = np.stack([hand(frames, seed=2 * number), hand(frames, seed=2 * number + 1)])
        given = torch.from_numpy(points)
        whole, state = model.forward_steps(given, model.initial_state(2))
        logits, after = stepper.sequences(points)
        np.testing.assert_allclose(logits, whole.logits, atol=1e-4)
        for name, value in state.items():
            np.testing.assert_allclose(after[name], value, atol=1e-4, err_msg=name)


@torch.no_grad()
def test_seconds_since_it_began_are_given_too(bundle: Bundle, model: LastLiteStream) -> None:
    stepper, points = open_stepper(bundle, bundle.graph("fp32")), hand(60, seed=1)
    state, elapsed = stepper.start(), []
    for frame in points:
        answer, state = stepper.step(frame[None], state)
        elapsed.append(answer.elapsed[0])
    np.testing.assert_allclose(elapsed, model(torch.from_numpy(points[None])).elapsed[0], atol=1e-4)


def test_verify_proves_logits_and_states(bundle_path: Path) -> None:
    checks = {check.name: check for check in verify_bundle(bundle_path)}
    assert all(check.holds for check in checks.values()), checks
    assert {"fp32 golden", "fp32 golden state running", "fp32 golden state past", "parameters"} <= checks.keys()


def test_parity_is_measured_frame_by_frame(bundle_path: Path, run: Path, store: ClipStore) -> None:
    golden, none = bundle_parity(bundle_path), bundle_parity(bundle_path, store=store)
    assert [(row["pair"], row["n"], row["agreement"]) for row in golden] == [("torch:fp32", 4 * 48, 100.0)]
    assert none == golden  # one file has nothing on a split to be compared with
    with pytest.raises(UsageError, match="--run is for classifiers of clips"):
        bundle_parity(bundle_path, run=run)


def test_verify_sees_a_state_that_is_not_the_graphs(bundle: Bundle, tmp_path: Path) -> None:
    golden = bundle.golden
    wrong = Golden(golden.inputs, golden.logits, {**golden.states, "past": golden.states["past"] + 0.1})
    files = {name: bundle.read(name) for name in bundle.manifest.files} | {GOLDEN: wrong.to_bytes()}
    write_bundle(tmp_path / "changed", bundle.manifest, files=files)
    assert [check.name for check in verify_bundle(tmp_path / "changed") if not check.holds] == [
        "fp32 golden state past"
    ]


def test_another_state_than_the_graphs_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    stream = bundle.manifest.stream
    assert stream is not None
    manifest = replace(bundle.manifest, stream=replace(stream, state=stream.state[:-1]))
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    write_bundle(tmp_path / "short", manifest, files=files)
    with pytest.raises(InputError, match="the graph's state is not the manifest's"):
        deployed(Bundle.open(tmp_path / "short"), "fp32")


def test_a_graph_of_other_numbers_is_refused(bundle: Bundle) -> None:
    graph = onnx.load_from_string(bundle.graph("fp32"))
    graph.graph.node.append(onnx.helper.make_node("Cast", ["logits"], ["more"], to=onnx.TensorProto.DOUBLE))
    graph.graph.output.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.DOUBLE, None))
    with pytest.raises(InputError, match="a graph of other numbers") as caught:
        open_stepper(bundle, graph.SerializeToString())
    assert caught.value.got == "more"


def test_export_measures_every_frame_of_the_recordings(run: Path, store: ClipStore, tmp_path: Path) -> None:
    manifest = export_run(run, tmp_path / "measured", store=store)
    (row,) = [row for row in manifest.parity if row["on"] == "test"]
    assert row["n"] == manifest.metrics["fp32"]["n"] == 3 * 600 and row["agreement"] == 100.0
    assert manifest.labels == LABELS


RULES = SpanRules(GESTURES, 25.0, 0.6, 0.3, 2, 1.0, 0.0, (0.0, 0.0, 0.0), 0.0, 0.0)


@pytest.fixture
def ruled_run(run: Path, tmp_path: Path) -> Path:
    """A checkpoint in a run that has rules for spans."""
    checkpoint = tmp_path / "run" / "checkpoints" / "best"
    shutil.copytree(run, checkpoint)
    records.save(RULES, tmp_path / "run" / SPANS)
    return checkpoint


def test_the_rules_beside_a_run_go_with_it(ruled_run: Path, tmp_path: Path) -> None:
    export_run(ruled_run, tmp_path / "bundle")
    assert Recogniser.open(tmp_path / "bundle").rules == RULES
    assert all(check.holds for check in verify_bundle(tmp_path / "bundle"))


def test_what_events_score_stands_in_card_and_manifest_and_is_proved(
    ruled_run: Path, store: ClipStore, tmp_path: Path
) -> None:
    figures = export_run(ruled_run, tmp_path / "bundle", store=store).metrics["fp32"]
    made = Bundle.open(tmp_path / "bundle")
    scored = evaluate_bundle_spans(made, store)
    assert figures["gestures"] == 9 and all(figures[name] == scored[name] for name in EVENT_FIGURES)
    assert f"| {figures['jaccard']} | {figures['jaccard_counts']} |" in made.read(CARD).decode()
    assert all(check.holds for check in verify_bundle(tmp_path / "bundle", store))
    better = {**figures, "jaccard": float(figures["jaccard"]) + 0.02}
    manifest = replace(made.manifest, metrics={"fp32": better})
    files = {name: made.read(name) for name in manifest.files if name != CARD}
    write_bundle(tmp_path / "flattered", manifest, files=files)
    wrong = [check.name for check in verify_bundle(tmp_path / "flattered", store) if not check.holds]
    assert wrong == ["fp32 jaccard"]


def test_rules_for_other_labels_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    none = (0.0, 0.0)
    rules = SpanRules(("swipe left", "tap"), 25.0, 0.6, 0.3, 2, 1.0, 0.0, none, 0.0, 0.0)
    files = {name: bundle.read(name) for name in bundle.manifest.files} | {SPANS: records.to_json(rules).encode()}
    write_bundle(tmp_path / "other", bundle.manifest, files=files)
    with pytest.raises(InputError, match="rules for other labels"):
        Recogniser.open(tmp_path / "other")
