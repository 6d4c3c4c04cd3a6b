"""Training speed is that of the trainer's own steps, side by side, and says what a machine cannot do."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from last_edge.clips.store import ClipStore
from last_edge.errors import InputError, UsageError
from last_edge.timing import Schedule
from last_edge.tools.bench import train as bench_module
from last_edge.tools.bench.record import load_records, save_records
from last_edge.tools.bench.train import (
    Conditions,
    Lane,
    Step,
    TrainBench,
    TrainRecord,
    bench_training,
    family,
    parse_settings,
    synthetic_store,
    to_markdown,
)
from last_edge.tools.cli import main

MODEL = "last_lite_nano"
SMALL = ("input.frames=8", "training.batch_size=8", "validation.subjects=[1]")
Bench = Callable[..., list[TrainRecord]]


@pytest.fixture
def bench(toy_store: Path, tmp_path: Path) -> Bench:
    """Measure settings of the small model on toy clips."""

    def run(*settings: str, rounds: int = 2, **changes: Any) -> list[TrainRecord]:
        conditions = Conditions(toy_store, tmp_path / "work", sets=SMALL, **changes)
        schedule = Schedule(rounds=rounds, calls=1, warm_up=0)
        return bench_training(TrainBench((MODEL,), tuple(parse_settings(settings)), schedule, conditions, "as typed"))

    return run


def lane(store: Path, tmp_path: Path, setting: str = "plain") -> Lane:
    conditions = Conditions(store, tmp_path / "lane", sets=SMALL)
    return Lane(MODEL, next(one for one in parse_settings([setting]) if one.name == setting), conditions)


def test_settings_are_joined_and_plain_comes_first() -> None:
    both, many = parse_settings(["bf16+fused", "threads=2+batch=64", "bf16+fused"])[1:]
    assert [setting.name for setting in parse_settings(["fused"])] == ["plain", "fused"]
    assert both.sets[-2:] == ("training.amp=bf16", "training.fused=on") and both.threads is None
    assert many.sets[-1] == "training.batch_size=64" and many.threads == 2


@pytest.mark.parametrize(("text", "named"), [("bf61", "bf16"), ("threads=0", "above 0"), ("fused=2", "fused")])
def test_unknown_settings_are_named(text: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        parse_settings([text])


def test_every_setting_has_a_record_and_what_cannot_be_says_why(bench: Bench, toy_store: Path) -> None:
    threads = torch.get_num_threads()
    plain, fused, fp16, wide = rows = bench("fused", "fp16", "batch=16+threads=2")
    assert torch.get_num_threads() == threads
    assert [row.setting for row in rows] == ["plain", "fused", "fp16", "batch=16+threads=2"]
    assert plain.ratio == 1.0 and (wide.batch_size, wide.threads, plain.threads) == (16, 2, 1)
    for row in (plain, fused, wide):
        assert row.clips_per_s and row.ratio and row.first_s is not None and row.waiting is not None
        assert 0 < row.waiting < 100
        assert row.p50_ms and row.p95_ms and row.p99_ms and 0 < row.p50_ms <= row.p95_ms <= row.p99_ms
    assert fp16.unavailable.startswith("training.amp=fp16 needs a GPU")
    assert (fp16.clips_per_s, fp16.ratio, fp16.p50_ms, fp16.first_s) == (None, None, None, None)
    assert {row.params for row in rows} == {plain.params} and plain.input_shape == (8, 5, 3)
    assert plain.store_sha256 == ClipStore.open(toy_store).sha256


def test_no_compiler_is_a_reason_not_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    _, compiled = bench("compile", rounds=1)
    assert "no C++ compiler: no-such-compiler" in compiled.unavailable


def test_compilations_start_anew_and_the_users_own_stay(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "mine")
    seen: list[str] = []
    warm_up = bench_module._warm_up
    monkeypatch.setattr(
        bench_module,
        "_warm_up",
        lambda *given: (seen.append(os.environ["TORCHINDUCTOR_CACHE_DIR"]), warm_up(*given))[1],
    )
    bench(rounds=1)
    assert seen[0].endswith("compiled") and os.environ["TORCHINDUCTOR_CACHE_DIR"] == "mine"


def test_what_fails_in_the_first_step_is_a_reason(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    step = bench_module.Lane.step

    def broken(self: Lane) -> Step:
        if self.setting.name == "bf16":
            raise RuntimeError("backend='inductor' raised:\n  no working compiler")
        return step(self)

    monkeypatch.setattr(bench_module.Lane, "step", broken)
    _, broken_row = bench("bf16", rounds=1)
    assert broken_row.unavailable == "RuntimeError: backend='inductor' raised: no working compiler"


def test_what_hinders_plain_training_is_an_error(toy_store: Path, tmp_path: Path) -> None:
    settings = tuple(parse_settings(["batch=8"]))
    conditions = Conditions(toy_store, tmp_path, sets=(*SMALL, "training.batch_size=1000"))
    with pytest.raises(UsageError, match="too few training clips"):
        bench_training(TrainBench((MODEL,), settings, Schedule(1, 1, 0), conditions))


def test_a_step_is_the_trainers_and_waiting_is_the_loaders(
    toy_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, now = lane(toy_store, tmp_path), [0.0]
    trainer = one.started.trainer
    batches, step = one._batches, trainer.step

    def slow_step(*batch: Any) -> None:
        step(*batch)
        now[0] += 3.0

    def slow_batches() -> Any:
        for batch in batches:
            now[0] += 1.0
            yield batch

    monkeypatch.setattr(bench_module.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(trainer, "step", slow_step)
    trainer.optimizer.register_step_pre_hook(lambda *_: now.__setitem__(0, now[0] + 0.5))
    one._batches = slow_batches()
    before = trainer.model.state_dict()["body.head.fc.weight"].clone()
    count = one.started.steps.per_epoch + 1
    assert {one.step() for _ in range(count)} == {Step(1.0, 3.5, 0.5)}
    assert trainer.progress.step == count, "a lane goes on into the next epoch"
    assert not torch.equal(before, trainer.model.state_dict()["body.head.fc.weight"])


def test_lanes_take_turns_and_ratios_are_of_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    load = iter([1.0, 1.0, 10.0, 10.0])

    class Fake:
        model, unavailable = MODEL, ""

        def __init__(self, name: str, seconds: float, batch: int) -> None:
            self.setting = SimpleNamespace(name=name)
            self.seconds = seconds
            self.recipe = SimpleNamespace(training=SimpleNamespace(batch_size=batch, workers=0))

        def step(self) -> Step:
            order.append(self.setting.name)
            busy = next(load)
            return Step(0.25 * self.seconds * busy, 0.75 * self.seconds * busy, 0.001)

    plain, fast = Fake("plain", 2.0, 4), Fake("fast", 1.0, 8)
    lanes: Any = [plain, fast]
    times = bench_module._time_in_turns(lanes, Schedule(rounds=2, calls=1), lambda text: None)
    assert order == ["plain", "fast", "fast", "plain"]
    figures = bench_module._figures(lanes[1], times[1], 5.0, plain=(lanes[0], times[0]))
    assert figures["ratio"] == 4.0, "four times the clips a second, though the second round was ten times as slow"
    assert (figures["clips_per_s"], figures["waiting"], figures["first_s"]) == (1.45, 25.0, 5.0)
    assert figures["optimizer_ms"] == 1.0
    fast.recipe.training.workers = 1
    assert bench_module._figures(lanes[1], times[1], 5.0, plain=(lanes[0], times[0]))["waiting"] is None


def test_the_default_models_are_the_trained_families() -> None:
    assert {"last_e_nano", "last_lite_small"} <= set(family()) and "last_v2_base" not in family()


def test_a_synthetic_store_lasts_as_long_as_it_is_needed() -> None:
    with synthetic_store() as path:
        store = ClipStore.open(path)
        assert len(store.select(split="train")) >= 128
    assert not path.exists()


def test_records_survive_a_round_trip_and_strangers_are_refused(bench: Bench, tmp_path: Path) -> None:
    rows = bench(rounds=1)
    save_records(rows, tmp_path / "speed.json")
    assert load_records(tmp_path / "speed.json", TrainRecord) == rows
    content = json.loads((tmp_path / "speed.json").read_text())
    (tmp_path / "speed.json").write_text(json.dumps([content[0] | {"speed": 1}]))
    with pytest.raises(InputError, match=r"speed(?s:.)*speed.json › 0"):
        load_records(tmp_path / "speed.json", TrainRecord)


def test_the_page_keeps_machines_and_inputs_apart(bench: Bench) -> None:
    (row,) = bench(rounds=1)
    other = dataclasses.replace(row, device="another processor", unavailable="no | bar", ratio=None)
    page = to_markdown([row, other])
    assert page.count("| model | setting |") == 2 and page.count("as typed") == 2
    assert "no \\| bar" in page and f"| {row.clips_per_s:.1f} |" in page


def test_command_writes_records_and_page_and_joins(
    toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "speed.json", tmp_path / "speed.md"
    sets = [word for text in SMALL for word in ("--set", text)]
    quick = ["--settings", "fused", "--repeats", "1", "--steps", "1", "--warm-up", "0", "--batch-size", "4", *sets]
    command = ["bench", "train", "--models", MODEL, "--store", str(toy_store), *quick, "--json", "--out", str(out)]
    assert main(command) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["setting"], row["batch_size"]) for row in rows] == [("plain", 4), ("fused", 4)]
    assert rows == json.loads(out.read_text())
    assert main(command) == 2 and "will not overwrite" in capsys.readouterr().err
    assert main(["bench", "train", "--join", str(out), "--out", str(page)]) == 0
    assert MODEL in capsys.readouterr().out and page.read_text() == to_markdown(load_records(out, TrainRecord))
    assert main(["bench", "train", "--join", str(out), "--out", str(tmp_path / "speed.csv")]) == 2
    assert ".json or .md" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--models", "last_lite_nanno"], "last_lite_nano"),
        (["--settings", "bf61"], "bf16"),
        (["--set", "training.lrr=1"], "lr"),
        (["--batch-size", "1000"], "too few training clips"),
    ],
)
def test_faults_are_named(
    toy_store: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    given = ["--models", MODEL] if "--models" not in arguments else []
    assert main(["bench", "train", "--store", str(toy_store), *given, *arguments]) == 2
    assert named in capsys.readouterr().err


def test_bundles_need_no_word_before_them(
    make_bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle("train")
    make_bundle("default")
    monkeypatch.chdir(tmp_path)
    quick = ["--repeats", "1", "--calls", "1", "--no-memory", "--json", "--precision", "fp32"]
    for given in (["./train", *quick], [*quick, "./train"], ["default", *quick]):
        assert main(["bench", *given]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert Path(row["artefact"]).name == Path(given[0] if given[0] != "--repeats" else given[-1]).name
    assert main(["bench"]) == 2 and "BUNDLE" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["bench"], ["bench", "train"]])
def test_help_ends_with_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    assert f"Example: last-edge {' '.join(words)} " in capsys.readouterr().out


def test_medians_are_of_rounds() -> None:
    one: Any = SimpleNamespace(recipe=SimpleNamespace(training=SimpleNamespace(batch_size=2)))
    times = np.array([[[1.0, 1.0, 4.0]], [[1.0, 3.0, 4.0]], [[0.5, 0.5, 0.5]]])
    assert bench_module._seconds_a_clip(one, times).tolist() == [2.0]
