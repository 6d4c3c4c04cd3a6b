"""Temperature and energy threshold: found on made logits and by a graph on a store, and used by the runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from last_edge.clips.compose import ComposeOptions, compose
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import labelled_clips, plain_batch
from last_edge.export.bundles.thresholds import fit_energy, fit_temperature, rejection_thresholds, unknown_windows
from last_edge.export.onnx.session import logits_of
from last_edge.inputs import InputSpec
from last_edge.logits import energy, softmax
from last_edge.runtime.recognise.decoding import Rejection
from tests.conftest import tiny_graph


def test_the_temperature_of_logits_that_are_three_times_too_large_is_three() -> None:
    random = np.random.default_rng(0)
    honest = random.normal(0, 2, (4000, 5))
    labels = np.array([random.choice(5, p=row) for row in softmax(honest)])
    assert fit_temperature((3 * honest).astype(np.float32), labels) == pytest.approx(3.0, rel=0.1)


def test_energy_is_the_log_of_summed_exponents_and_never_overflows() -> None:
    logits = np.array([[1.0, 2.0], [1000.0, 1000.0]], np.float32)
    np.testing.assert_allclose(energy(logits), [np.log(np.exp(1) + np.exp(2)), 1000 + np.log(2)])
    np.testing.assert_allclose(energy(logits, 2.0)[0], 2 * np.log(np.exp(0.5) + np.exp(1)))


def test_the_threshold_parts_what_can_be_parted_and_keeps_what_is_right() -> None:
    known, unknown = np.linspace(5, 9, 100), np.linspace(1, 4, 100)
    apart = fit_energy(known, unknown)
    assert 4 < apart["energy"] <= 5 and apart["energy_kept"] == apart["energy_refused"] == 100.0
    mixed = fit_energy(known, known + 0.01)
    assert mixed["energy_kept"] >= 95.0 and mixed["energy_refused"] < 6.0
    assert fit_energy(known, np.zeros(0)) == {}


def test_a_graph_gets_its_thresholds_from_clips_and_made_idle(toy_store: Path) -> None:
    store = ClipStore.open(toy_store)
    spec = InputSpec(layout=store.layout, frames=16)
    clips, graph = labelled_clips(store, "train"), tiny_graph(spec)
    logits = logits_of(graph, plain_batch(store, clips, spec))
    found = rejection_thresholds(graph, logits, store=store, clips=clips, spec=spec)
    assert set(found) == {"temperature", "energy", "energy_kept", "energy_refused"}
    assert found["energy_kept"] >= 95.0 and 0.25 <= found["temperature"] <= 4.0
    assert Rejection.of(found) == Rejection(found["temperature"], found["energy"])
    assert Rejection.of({}).knows(np.full(3, -1e6, np.float32))


def test_unknown_windows_are_every_idle_stretch_and_every_made_motion(toy_store: Path) -> None:
    store = ClipStore.open(toy_store)
    streams = compose(store, labelled_clips(store, "train"), count=20, options=ComposeOptions(made=0.4))
    spans = [span for stream in streams for span in stream.spans]
    expected = len(spans) + len(streams) + sum(not span.label for span in spans)
    assert unknown_windows(streams, InputSpec(layout=store.layout, frames=16)).shape == (expected, 16, 5, 3)


def test_unknown_motions_confirm_nothing() -> None:
    rejection = Rejection(temperature=2.0, least_energy=5.0)
    assert not rejection.knows(np.array([0.0, 4.0], np.float32)) and rejection.knows(np.array([0.0, 9.0], np.float32))
    np.testing.assert_allclose(rejection.probabilities(np.array([0.0, 2.0])), softmax(np.array([0.0, 1.0])))
