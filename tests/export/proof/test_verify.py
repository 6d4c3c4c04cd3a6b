"""A bundle proves what it says; whatever is changed, verification sees it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from last_edge.bundle import Bundle, Golden, Manifest, write_bundle
from last_edge.bundle.manifest import CARD, GOLDEN
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.errors import GateError, InputError, UsageError
from last_edge.export.bundles.bundle_writer import export_run
from last_edge.export.bundles.sources import Size, golden_points, size_of
from last_edge.export.int8.plan import Plan
from last_edge.export.int8.quantize_bundle import quantize_bundle
from last_edge.export.onnx import onnx_graph
from last_edge.export.proof.evaluate import evaluate_bundle
from last_edge.export.proof.parity import bundle_parity, check_rows
from last_edge.export.proof.same import check_parity
from last_edge.export.proof.verify import number, require, verify_bundle
from last_edge.files import sha256_of
from last_edge.inputs import InputSpec
from last_edge.skeleton import get_layout
from last_edge.tasks.recognition import one_clip
from last_edge.tasks.registry import RECOGNITION


def failed(path: Path, store: ClipStore | None = None) -> list[str]:
    return [check.name for check in verify_bundle(path, store) if not check.holds]


def rewritten(path: Path, to: Path, **changes: object) -> Path:
    """The bundle with changed manifest fields, card, hashes and seal in order: a lie that only measuring can find."""
    bundle = Bundle.open(path)
    changed: Manifest = dataclasses.replace(bundle.manifest, **changes)  # type: ignore[arg-type]
    files = {name: bundle.read(name) for name in bundle.manifest.files if name != CARD}
    write_bundle(to, changed, files=files)
    return to


def test_a_fresh_bundle_verifies(quantized: Path, exported: Path, store: ClipStore) -> None:
    checks = verify_bundle(quantized, store)
    require(checks, where=quantized)
    names = {check.name for check in checks}
    assert {"model.int8.onnx", "manifest.json", "fp32 golden", "int8 golden", "fp32 top1", "int8 top1"} <= names
    assert failed(exported, store) == []


def test_the_manifest_records_what_was_measured(quantized: Path, store: ClipStore, run: Path) -> None:
    manifest = Bundle.open(quantized).manifest
    for precision in ("fp32", "int8"):
        now = evaluate_bundle(Bundle.open(quantized), store, precision=precision)
        assert manifest.metrics[precision]["top1"] == now["top1"]
        assert manifest.metrics[precision]["n"] == 9
    assert {(row["pair"], row["on"]) for row in manifest.parity} == {
        (pair, on) for pair in ("torch:fp32", "fp32:int8") for on in ("golden", "test")
    }
    assert len(manifest.calibration_ids) == 12 and set(manifest.calibration_ids) <= {f"clip-{i}" for i in range(24)}
    assert manifest.provenance.seeds == {"training": 11} and manifest.provenance.trained_commit == "abc"
    assert manifest.provenance.data_sha256 == store.sha256
    assert manifest.provenance.checkpoint_sha256 == sha256_of(run / "model.safetensors")
    assert (manifest.axes, manifest.licence, manifest.units) == ("x right", "test data", "metres")


def test_golden_inputs_hold_missing_points(quantized: Path) -> None:
    golden = Bundle.open(quantized).golden
    shares = np.isnan(golden.points).mean(axis=(1, 2, 3))
    assert shares[0] == 0 and 0 < shares[1] < 0.5 and shares[2] >= 0.25 and shares[3] == 1
    assert set(golden.logits) == {"torch", "fp32", "int8"}
    assert all(np.isfinite(values).all() for values in golden.logits.values())


def test_golden_inputs_are_nobodys_recording(quantized: Path, store: ClipStore) -> None:
    """Of the clips they take the size alone."""
    bundle = Bundle.open(quantized)
    spec = bundle.manifest.input
    windows = plain_batch(store, np.arange(len(store)), spec)["landmarks"]
    seen = set(windows[np.isfinite(windows)].tolist())
    made = bundle.golden.points[np.isfinite(bundle.golden.points)].tolist()
    assert len(seen & set(made)) < 0.01 * len(made)
    golden, clips = size_of(bundle.golden.points, spec.layout), size_of(windows, spec.layout)
    assert golden.bone == pytest.approx(clips.bone, rel=0.3) and golden.step == pytest.approx(clips.step, rel=0.3)


@pytest.mark.parametrize("spec", [InputSpec(get_layout("ntu25"), bodies=2), InputSpec(get_layout("kinect20"))])
def test_golden_points_follow_the_tree_and_the_seed(spec: InputSpec) -> None:
    points = golden_points(spec, size=Size(bone=0.2, step=0.0))
    assert points.shape == (4, *spec.shape) and np.array_equal(points, golden_points(spec, size=Size(0.2, 0.0)), True)
    assert not np.array_equal(points[0], golden_points(spec, size=Size(0.2, 0.0), seed=1)[0])
    assert size_of(points[:1], spec.layout).bone == pytest.approx(0.2, rel=0.4)
    assert np.ptp(points[0], axis=-3).max() == 0
    assert size_of(points[3:], spec.layout) == Size()


def test_a_changed_byte_fails_the_gate(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "b")
    content = bytearray((tmp_path / "b" / "model.fp32.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "b" / "model.fp32.onnx").write_bytes(bytes(content))
    assert failed(tmp_path / "b") == ["model.fp32.onnx"]
    with pytest.raises(GateError, match=r"model\.fp32\.onnx \(bytes have changed\)") as caught:
        require(verify_bundle(tmp_path / "b"), where=tmp_path)
    assert caught.value.exit_code == 4


def test_an_unreadable_bundle_fails_the_gate(tmp_path: Path) -> None:
    (tmp_path / "x.last").write_bytes(b"not a zip")
    with pytest.raises(GateError, match="not a bundle archive"):
        verify_bundle(tmp_path / "x.last")
    with pytest.raises(InputError, match="no bundle here"):
        verify_bundle(tmp_path / "y.last")


def test_a_flattering_figure_is_found(quantized: Path, store: ClipStore, tmp_path: Path) -> None:
    metrics = Bundle.open(quantized).manifest.metrics
    flattered = {**metrics, "int8": {**metrics["int8"], "top1": float(metrics["int8"]["top1"]) + 12.0}}
    lie = rewritten(quantized, tmp_path / "lie", metrics=flattered)
    assert failed(lie) == []
    assert failed(lie, store) == ["int8 top1"]


def test_figures_of_another_store_are_not_accepted(quantized: Path, store: ClipStore, tmp_path: Path) -> None:
    metrics = {"fp32": {**Bundle.open(quantized).manifest.metrics["fp32"], "store_sha256": "0" * 64}}
    lie = rewritten(quantized, tmp_path / "lie", metrics=metrics)
    assert failed(lie, store) == ["fp32 figures", "int8 figures"]


def test_a_figure_of_few_clips_must_come_out_the_same(quantized: Path, store: ClipStore, tmp_path: Path) -> None:
    metrics = Bundle.open(quantized).manifest.metrics
    one_more = {**metrics["fp32"], "top1": float(metrics["fp32"]["top1"]) + 100 / 9}
    lie = rewritten(quantized, tmp_path / "lie", metrics={**metrics, "fp32": one_more})
    assert failed(lie, store) == ["fp32 top1"]


def test_one_clip_of_many_may_answer_differently() -> None:
    assert one_clip(16) == one_clip(99) == 0.0
    assert one_clip(200) == 0.5
    allowed = RECOGNITION.margins(np.repeat([0, 1], [150, 50]))
    assert allowed["top1"] == pytest.approx(0.51) and allowed["mean_class"] == pytest.approx(1.01)
    assert allowed["n"] == 0.0
    assert np.isnan(number(None)) and np.isnan(number("9"))


def test_flattering_parity_is_found(quantized: Path, store: ClipStore, tmp_path: Path) -> None:
    rows = Bundle.open(quantized).manifest.parity
    flat = tuple({**row, "agreement": 100.0, "max_abs": 0.0, "mean_abs": 0.0} for row in rows)
    lie = rewritten(quantized, tmp_path / "lie", parity=flat)
    assert {"parity fp32:int8 on golden", "parity fp32:int8 on test"} <= set(failed(lie, store))
    bare = rewritten(quantized, tmp_path / "bare", parity=tuple(row for row in rows if row["on"] == "golden"))
    assert failed(bare, store) == ["parity fp32:int8 on test"]
    odd = rewritten(quantized, tmp_path / "odd", parity=(*rows, {**rows[0], "on": "the moon"}))
    assert failed(odd) == ["parity rows"]


def test_another_card_is_found(quantized: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(quantized)
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    write_bundle(tmp_path / "b", bundle.manifest, files={**files, CARD: b"# The best model\n"})
    assert failed(tmp_path / "b") == ["card"]


def test_calibration_clips_must_be_training_clips(quantized: Path, store: ClipStore, tmp_path: Path) -> None:
    manifest = Bundle.open(quantized).manifest
    for index, named in enumerate([("nothing",), (), (*manifest.calibration_ids, "clip-30")]):
        assert failed(rewritten(quantized, tmp_path / str(index), calibration_ids=named), store) == ["calibration"]
    elsewhere = {**manifest.calibration, "store_sha256": "0" * 64}
    assert failed(rewritten(quantized, tmp_path / "e", calibration=elsewhere), store) == ["calibration"]


@pytest.mark.parametrize("change", [{"params": 1}, {"kwargs": {"wings": 2}}])
def test_another_parameter_count_is_found(quantized: Path, tmp_path: Path, change: dict[str, object]) -> None:
    model = dataclasses.replace(Bundle.open(quantized).manifest.model, **change)  # type: ignore[arg-type]
    assert failed(rewritten(quantized, tmp_path / "lie", model=model)) == ["parameters"]


def test_classes_in_another_order_are_found(quantized: Path, tmp_path: Path) -> None:
    labels = Bundle.open(quantized).manifest.labels[::-1]
    assert failed(rewritten(quantized, tmp_path / "lie", labels=labels)) == ["fp32 metadata", "int8 metadata"]


@pytest.mark.parametrize("allowed", [1e9, -1.0])
def test_a_tolerance_beyond_the_codes_own_is_found(quantized: Path, tmp_path: Path, allowed: float) -> None:
    lie = rewritten(quantized, tmp_path / "lie", tolerances={"fp32": allowed, "int8": allowed})
    assert failed(lie) == ["fp32 golden", "int8 golden"]


def test_a_store_with_changed_points_is_refused(
    quantized: Path, exported: Path, store: ClipStore, tmp_path: Path
) -> None:
    shutil.copytree(store.path, tmp_path / "store")
    frames = tmp_path / "store" / "frames.npy"
    content = bytearray(frames.read_bytes())
    content[-1] ^= 1
    frames.write_bytes(bytes(content))
    changed = ClipStore.open(tmp_path / "store")
    with pytest.raises(InputError, match=r"bytes have changed(.|\n)*frames\.npy"):
        verify_bundle(quantized, changed)
    shutil.copytree(exported, tmp_path / "b")
    with pytest.raises(InputError, match=r"bytes have changed(.|\n)*frames\.npy"):
        quantize_bundle(tmp_path / "b", changed)


def test_another_models_graph_is_found(quantized: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(quantized)
    golden = Golden(bundle.golden.inputs, {**bundle.golden.logits, "fp32": bundle.golden.logits["fp32"] + 0.01})
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    write_bundle(tmp_path / "b", bundle.manifest, files={**files, GOLDEN: golden.to_bytes()})
    assert failed(tmp_path / "b") == ["fp32 golden"]


def test_a_graph_for_another_input_is_refused(quantized: Path, store: ClipStore, tmp_path: Path) -> None:
    spec = dataclasses.replace(Bundle.open(quantized).manifest.input, centre="frame")
    other = rewritten(quantized, tmp_path / "other", input=spec)
    assert failed(other) == ["fp32 golden", "int8 golden"]
    with pytest.raises(InputError, match="takes another input than the manifest says"):
        evaluate_bundle(Bundle.open(other), store)


def test_parity_runs_the_files_again(quantized: Path, store: ClipStore, run: Path) -> None:
    rows = bundle_parity(quantized, store=store, run=run)
    by = {(row["pair"], row["on"]): row for row in rows}
    assert float(by["torch:fp32", "test"]["max_abs"]) < 1e-4
    assert by["torch:fp32", "test"]["agreement"] == 100.0
    assert float(by["fp32:int8", "test"]["max_abs"]) > 0
    check_rows(rows, {}, where=quantized)
    bad = {**by["fp32:int8", "test"], "agreement": 50.0}
    with pytest.raises(GateError, match="fp32:int8 on test: 50"):
        check_rows([bad], {}, where=quantized)
    check_rows([{**by["fp32:int8", "golden"], "agreement": 50.0}], {}, where=quantized)


def test_int8_shipped_at_a_recipes_limit_is_held_to_that_limit(quantized: Path) -> None:
    row = {"pair": "fp32:int8", "on": "test", "n": 1000, "agreement": 96.0}
    with pytest.raises(GateError, match="96% of 1000 answers agree, needed 97%"):
        check_rows([row], {}, where=quantized)
    check_rows([row], {"min_agreement": 95.0}, where=quantized)
    with pytest.raises(GateError, match="needed 96.5%"):
        check_rows([row], {"min_agreement": 96.5}, where=quantized)


def test_an_export_that_computes_something_else_is_stopped() -> None:
    logits = np.ones((2, 3), np.float32)
    check_parity(logits, logits + 5e-5, precision="fp32", where="x")
    for wrong in (logits + 1e-3, logits * np.nan):
        with pytest.raises(GateError, match="differs from its model"):
            check_parity(logits, wrong, precision="fp32", where="x")


def test_the_card_shows_the_measured_figures(quantized: Path) -> None:
    bundle = Bundle.open(quantized)
    card = bundle.read(CARD).decode()
    assert f"| int8 | {len(bundle.graph('int8')):,} | {bundle.manifest.metrics['int8']['top1']} |" in card
    assert "12 clips of the train split" in card and "clip count" not in card


def test_export_without_a_store_measures_nothing(
    run: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = Bundle.open(exported).graph("fp32")
    monkeypatch.setattr(onnx_graph, "to_onnx", lambda *_, **__: graph)
    manifest = export_run(run, tmp_path / "plain.last")
    assert manifest.metrics == {} and [row["on"] for row in manifest.parity] == ["golden"]
    assert failed(tmp_path / "plain.last") == []
    with pytest.raises(UsageError, match="--force"):
        export_run(run, tmp_path / "plain.last")


def test_quantizing_again_needs_force_and_keeps_what_is_not_its_own(
    exported: Path, store: ClipStore, tmp_path: Path
) -> None:
    shutil.copytree(exported, tmp_path / "b")
    (tmp_path / "b" / "notes.txt").write_text("mine")
    quantize_bundle(tmp_path / "b", store, Plan(count=6))
    first = Bundle.open(tmp_path / "b").graph("int8")
    with pytest.raises(UsageError, match="has an INT8 file"):
        quantize_bundle(tmp_path / "b", store, Plan(count=6))
    quantize_bundle(tmp_path / "b", store, Plan(count=6), force=True)
    assert Bundle.open(tmp_path / "b").graph("int8") == first
    assert len(Bundle.open(tmp_path / "b").manifest.parity) == 4
    assert (tmp_path / "b" / "notes.txt").read_text() == "mine"
