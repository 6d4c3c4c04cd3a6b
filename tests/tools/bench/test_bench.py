"""Benchmarks measure the very files of a bundle, fairly, and say what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.bundle import Bundle, Golden
from last_edge.errors import GateError, InputError, UsageError
from last_edge.files import sha256_of
from last_edge.machine import Heat
from last_edge.runtime.backends import BACKENDS
from last_edge.timing import Schedule, summarise, time_in_turns
from last_edge.tools.bench import run, subjects
from last_edge.tools.bench.record import BenchRecord, bench_table, load_records, save_records
from last_edge.tools.bench.run import bench_bundles
from last_edge.tools.bench.subjects import BenchOptions, time_loading

QUICK = BenchOptions(memory=False, schedule=Schedule(rounds=2, calls=3, warm_up=1))
METRICS = {"int8": {"top1": 91.5, "top3": 99.0, "n": 840, "split": "test"}}


def quick_bench(path: Path, **changes: Any) -> list[Any]:
    return bench_bundles([path], BenchOptions(memory=False, schedule=QUICK.schedule, **changes))


def test_calls_take_turns_and_each_round_starts_with_another() -> None:
    order: list[str] = []
    calls = [lambda index, name=name: order.append(f"{name}{index}") for name in "ab"]
    time_in_turns(calls, Schedule(rounds=2, calls=2, warm_up=1))
    assert order == ["a0", "b0", "a0", "a1", "b0", "b1", "b0", "b1", "a0", "a1"]


def test_latency_comes_from_the_clock() -> None:
    ticks = iter(np.cumsum([0.0, 0.001, 0.0, 0.003, 0.0, 0.002]).tolist())
    (times,) = time_in_turns([lambda index: None], Schedule(1, 3, 0), clock=lambda: next(ticks))
    latency = summarise(times)
    assert latency.p50 == pytest.approx(2.0)
    assert latency.p99 == pytest.approx(2.98)
    assert latency.calls == 3


def test_loading_leaves_out_what_only_the_first_load_pays() -> None:
    costs, now = iter([900.0, 2.0, 3.0, 50.0, 2.0, 1.0]), [0.0]

    def load() -> str:
        now[0] += next(costs) / 1000.0
        return "model"

    assert time_loading(load, clock=lambda: now[0]) == ("model", 2.0)
    assert next(costs, None) is None


def test_golden_tensors_are_not_read_while_a_load_is_timed(make_bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    timed, read = subjects.time_loading, Golden.from_bytes
    monkeypatch.setattr(subjects, "time_loading", lambda load: (loads.append(0), timed(load), loads.append(1))[1])
    monkeypatch.setattr(Golden, "from_bytes", lambda *_, **how: (loads.append(2), read(*_, **how))[1])
    run.load_all(make_bundle(), QUICK)
    assert [step for step in loads if step != 2] == [0, 1, 0, 1] and (0, 2) not in zip(loads, loads[1:], strict=False)


def test_files_backends_and_threads_are_crossed(
    make_bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_bundle()
    monkeypatch.setattr("last_edge.tools.bench.subjects.LOADS", 1)
    plain = tmp_path / "naive.onnx"
    plain.write_bytes(Bundle.open(path).graph("fp32"))
    backends = tuple(name for name in ("onnxruntime-cpu", "openvino") if BACKENDS[name].is_available())
    rows = quick_bench(path, threads=(1, 2), backends=backends, plain=(plain,))
    assert len(rows) == len(backends) * 2 * 3
    assert {(row.kind, row.precision) for row in rows} == {("bundle", "fp32"), ("bundle", "int8"), ("plain", "fp32")}
    for row in rows:
        same = [other for other in rows if (other.backend, other.threads) == (row.backend, row.threads)]
        fp32, naive = (
            next(other for other in same if (other.kind, other.precision) == (kind, "fp32"))
            for kind in ("bundle", "plain")
        )
        own = naive if row.kind == "plain" else fp32
        assert row.faster_than_fp32 == pytest.approx(own.p50_ms / row.p50_ms, abs=1e-3)
        assert row.faster_than_plain == pytest.approx(naive.p50_ms / row.p50_ms, abs=1e-3)
    shown = bench_table(rows)
    assert "× plain" in shown.columns and len(shown.columns["artefact"]) == len(rows)


def test_a_bare_file_is_an_operand(make_bundle: Any, tmp_path: Path) -> None:
    bare = tmp_path / "other.int8.onnx"
    bare.write_bytes(Bundle.open(make_bundle()).graph("int8"))
    (row,) = quick_bench(bare)
    assert (row.kind, row.precision, row.file, row.faster_than_plain) == ("file", "int8", "other.int8.onnx", None)
    assert row.artefact_sha256 == sha256_of(bare) and row.input_shape == (1, 8, 22, 3)
    with pytest.raises(UsageError, match="no such file"):
        quick_bench(tmp_path / "absent.onnx")


def test_a_backend_that_the_bundle_has_no_file_for(make_bundle: Any) -> None:
    if not BACKENDS["litert"].is_available():
        pytest.skip(BACKENDS["litert"].why_not())
    with pytest.raises(UsageError, match="no file for these backends"):
        quick_bench(make_bundle(), backends=("litert",))
    with pytest.raises(InputError, match="nothing for litert"):
        quick_bench(make_bundle("again"), backends=("litert",), precisions=("fp32",))


def test_a_bundles_own_settings_are_used_unless_overruled(make_bundle: Any) -> None:
    path = make_bundle(tuned={"int8": {"threads": 1, "spin": 0, "arena": 0, "buffers": "reused"}})
    assert [row.settings for row in quick_bench(path)] == ["", "no arena, reused buffers"]
    assert [row.settings for row in quick_bench(path, usual=True)] == ["", ""]
    assert [row.threads for row in quick_bench(path, threads=(2,))] == [2, 2]


def test_one_disturbed_round_does_not_move_the_median() -> None:
    rounds = np.array([[1.0, 1.0, 1.0], [1.0, 1.2, 1.0], [50.0, 50.0, 50.0]])
    latency = summarise(rounds)
    assert latency.p50 == 1.0
    assert latency.p99 > 49.0


def test_record_names_the_file_and_carries_its_own_accuracy(make_bundle: Any) -> None:
    path = make_bundle(metrics=METRICS)
    fp32, int8 = bench_bundles([path], QUICK)
    assert (fp32.precision, int8.precision) == ("fp32", "int8")
    assert int8.artefact_sha256 == sha256_of(path / "model.int8.onnx")
    assert int8.size_bytes == (path / "model.int8.onnx").stat().st_size
    assert (int8.top1, int8.n, int8.split) == (91.5, 840, "test")
    assert fp32.top1 is None, "accuracy of another file must not be borrowed"
    assert 0 < fp32.p50_ms <= fp32.p95_ms <= fp32.p99_ms
    assert (fp32.calls, fp32.rounds, fp32.input_shape) == (6, 2, (1, 8, 22, 3))


def test_precision_that_is_not_there(make_bundle: Any) -> None:
    with pytest.raises(InputError, match="no fp16 graph"):
        quick_bench(make_bundle(), precisions=("fp16",))


def test_unknown_backend_names_the_known(make_bundle: Any) -> None:
    with pytest.raises(UsageError, match="onnxruntime-cpu"):
        quick_bench(make_bundle(), backends=("onnxruntime",))


def test_records_survive_a_round_trip_and_strangers_are_refused(make_bundle: Any, tmp_path: Path) -> None:
    rows = bench_bundles([make_bundle()], QUICK)
    path = tmp_path / "bench.json"
    save_records(rows, path)
    assert load_records(path, BenchRecord) == rows
    content = json.loads(path.read_text())
    content[1]["p51_ms"] = 1.0
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"p51_ms(?s:.)*bench.json › 1"):
        load_records(path, BenchRecord)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell a process's memory")
def test_memory_is_that_of_a_process_of_its_own(make_bundle: Any) -> None:
    options = BenchOptions(precisions=("fp32",), schedule=QUICK.schedule)
    ballast = np.ones(40_000_000)
    (row,) = bench_bundles([make_bundle()], options)
    assert row.rss_mb is not None
    assert 20 < row.rss_mb < ballast.nbytes / 2**20, "the memory of the benchmark itself must not count"


def test_command_prints_one_json_list(make_bundle: Any, tmp_path: Path) -> None:
    arguments = [str(make_bundle(metrics=METRICS)), "--json", "--repeats", "1", "--calls", "2", "--no-memory"]
    command = [sys.executable, "-m", "last_edge.tools.cli", "bench", *arguments, "--out", str(tmp_path / "b.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    assert {"backend", "precision", "threads", "p50_ms", "p95_ms", "p99_ms", "size_bytes"} <= set(rows[0])
    assert [row["precision"] for row in rows] == ["fp32", "int8"]
    assert rows == json.loads((tmp_path / "b.json").read_text())


def test_processor_time_is_of_one_thread(make_bundle: Any) -> None:
    bundle = make_bundle()
    rows = quick_bench(bundle, clock="processor", threads=(1,))
    assert {row.clock for row in rows} == {"processor"} and "processor time" in str(bench_table(rows).title)
    with pytest.raises(UsageError, match="one thread"):
        quick_bench(bundle, clock="processor", threads=(1, 2))


def test_slower_than_allowed_is_a_failed_gate(make_bundle: Any) -> None:
    from last_edge.tools.cli.bench import bench

    with pytest.raises(GateError, match=r"p50 <= 1e-09 ms"):
        bench([make_bundle()], repeats=1, calls=1, memory=False, max_ms=1e-9)


def test_a_run_on_a_slowed_processor_is_flagged(make_bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    heats = iter([Heat(61.0), Heat(84.5, ("throttled",))])
    monkeypatch.setattr(run, "heat", lambda: next(heats))
    monkeypatch.setattr(run, "board", lambda: "Raspberry Pi 4 Model B Rev 1.4")
    row = quick_bench(make_bundle())[0]
    assert (row.board, row.heat, row.slowed) == ("Raspberry Pi 4 Model B Rev 1.4", 84.5, "throttled")
    assert "slowed" in bench_table([row]).columns
    (cool,) = [BenchRecord(**{**vars(row), "slowed": ""})]
    assert "slowed" not in bench_table([cool]).columns


def test_what_is_shared_names_the_machine_and_no_person(
    make_bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from last_edge.tools import cli

    bundle, out = make_bundle(), tmp_path / "board.json"
    words = ["bench", str(bundle), "--repeats", "1", "--calls", "2", "--no-memory", "--share", str(out), "--json"]
    assert cli.main(words) == 0
    content = json.loads(out.read_text())
    assert content["processor"] and content["versions"]["onnxruntime"] and content["rows"][0]["p50_ms"] > 0
    assert str(bundle) not in out.read_text() and "artefact" not in content["rows"][0]
    assert cli.main(words) == 2  # what is there is not written over
