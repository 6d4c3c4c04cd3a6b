"""An INT8 file that misses a limit is not shipped, and the table says which."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.clips.store import ClipStore
from last_edge.errors import GateError
from last_edge.export.int8.plan import Plan
from last_edge.export.int8.qdq import TARGETS
from last_edge.export.int8.quantize_bundle import quantize_bundle
from last_edge.export.proof.same import LIMIT, disagreement
from last_edge.tasks.config import QuantizeConfig
from last_edge.tasks.metrics import agreement_holds
from last_edge.tasks.recognition import drop_gate
from last_edge.tasks.registry import RECOGNITION
from last_edge.tasks.task import Candidate, require_gates
from last_edge.tools.cli import main

LOOSE = QuantizeConfig(max_drop=100, min_agreement=0, max_class_drop=100, max_bytes_per_param=8, min_speedup=0)

LABELS = np.repeat(np.arange(4), 100)


def candidate(wrong: int, **changes: object) -> Candidate:
    """400 clips of 4 classes, FP32 right on all; the INT8 answers to the first `wrong` are others."""
    reference = np.eye(4, dtype=np.float32)[LABELS]
    logits = reference.copy()
    logits[:wrong] = np.roll(logits[:wrong], 1, axis=1)
    made = Candidate(reference, logits, size=100_000, weights=60_000, reference_ms=1.5, ms=1.0)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "fails"),
    [
        (candidate(0), set()),
        (candidate(1), set()),
        (candidate(2), {"drop of top-1 in points"}),
        (candidate(5), {"drop of top-1 in points", "equal answers in %", "drop of the worst class in points"}),
        (candidate(0, size=115_001), {"bytes"}),
        (candidate(0, ms=2.0), {"times as fast as FP32"}),
    ],
)
def test_each_gate_has_its_limit(made: Candidate, fails: set[str]) -> None:
    gates = RECOGNITION.gates(made, LABELS, QuantizeConfig())
    assert {gate.name for gate in gates if not gate.holds} == fails
    if not fails:
        require_gates(gates, where="b")
        return
    with pytest.raises(GateError) as error:
        require_gates(gates, where="b")
    assert all(f"{name} " in str(error.value) for name in fails) and str(error.value).count("FAILED") == len(fails)


def test_the_speed_of_another_devices_format_is_told_and_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = candidate(0, ms=2.0)
    assert [gate.holds for gate in RECOGNITION.gates(slow, LABELS, QuantizeConfig(), judge_speed=False)] == [True] * 5
    for machine, judged in (("x86_64", {"cpu-vnni", "web"}), ("aarch64", {"cpu-vnni", "web", "arm64"})):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert {name for name, target in TARGETS.items() if target.runs_here} == judged


def test_one_clip_of_few_may_go_wrong() -> None:
    few = dataclasses.replace(candidate(0), reference=np.eye(4, dtype=np.float32))
    logits = few.reference.copy()
    logits[0] = logits[0, ::-1]
    gates = RECOGNITION.gates(dataclasses.replace(few, answers=logits), np.arange(4), QuantizeConfig())
    assert all(gate.holds for gate in gates)


@pytest.mark.parametrize(
    ("clips", "lost", "won", "holds"),
    [(48, 2, 5, True), (48, 2, 0, True), (48, 7, 0, False), (99, 9, 0, False), (100, 4, 0, False), (100, 3, 0, True)],
)
def test_a_class_of_few_clips_is_judged_by_its_interval(clips: int, lost: int, won: int, holds: bool) -> None:
    before, after = np.ones(clips, bool), np.ones(clips, bool)
    after[:lost], before[lost : lost + won] = False, False
    gate = drop_gate("drop", before, after, most=3.0)
    assert gate.got == pytest.approx(100 * (lost - won) / clips) and gate.holds == holds


@pytest.mark.parametrize(("same", "n", "holds"), [(11, 12, True), (58, 60, True), (57, 60, False), (98, 100, False)])
def test_equal_answers_of_few_clips_are_judged_by_their_interval(same: int, n: int, holds: bool) -> None:
    assert agreement_holds(same, n, 99.0) == holds
    row = {"pair": "fp32:int8", "n": n, "agreement": round(100 * same / n, 3)}
    assert (disagreement(row, {LIMIT: 97.0}) == "") == agreement_holds(same, n, 97.0)


def test_a_failed_gate_leaves_the_bundle_alone(
    exported: Path, store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(exported, tmp_path / "b")
    before = {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    command = ["quantize", str(tmp_path / "b"), "--store", str(store.path), "--method", "minmax", "--quiet"]
    assert main([*command, "--set", "quantize.min_speedup=1000"]) == 4
    error = capsys.readouterr().err
    assert "not shipped" in error and "times as fast as FP32" in error and "FAILED" in error
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == before


def test_files_for_targets_stand_beside_each_other(exported: Path, store: ClipStore, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "b")
    plan = Plan(count=6, gates=LOOSE)
    plan = dataclasses.replace(plan, options=dataclasses.replace(plan.options, method="minmax"))
    quantize_bundle(tmp_path / "b", store, plan)
    other = dataclasses.replace(plan, options=dataclasses.replace(plan.options, target="tensorrt"))
    quantize_bundle(tmp_path / "b", store, other)
    bundle = Bundle.open(tmp_path / "b")
    assert bundle.precisions == ("fp32", "int8", "int8-tensorrt")
    assert set(bundle.golden.logits) == {"torch", "fp32", "int8", "int8-tensorrt"}
    assert main(["verify", str(tmp_path / "b"), "--store", str(store.path), "--quiet"]) == 0
    slow = dataclasses.replace(other, gates=dataclasses.replace(LOOSE, min_speedup=1000))
    made = quantize_bundle(tmp_path / "b", store, slow, force=True)
    assert [gate.needed for gate in made.gates][-1].startswith("no limit")
