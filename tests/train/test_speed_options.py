"""Options that change a training's speed, and the measure of its waiting, change nothing else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from last_edge.errors import InterruptedRun, MissingError, UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.skeleton import Layout
from last_edge.tasks.config import TrainingConfig
from last_edge.tasks.task import Views
from last_edge.timing import peak_process_mb
from last_edge.train import processes as compiling
from last_edge.train.checkpoint import load_checkpoint, read_trainer
from last_edge.train.optimizer import build_optimizer, load_optimizer, resolve_fused
from last_edge.train.processes import Processes
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import LoopClock, Run, StopRequest, run_training

SMALL = ["input.frames=16", "training.batch_size=8", "training.lr=0.01", "validation.subjects=[1]"]


def request(store: Path, out: Path, *sets: str) -> Request:
    return Request(load_recipe(None, overrides=[*SMALL, *sets]), store, out)


def weights(run: Path) -> dict[str, Tensor]:
    return load_checkpoint(run, "last").model.state_dict()


def stopped(run: Run, at: int) -> None:
    """Train until step `at`, then stop as by a signal."""
    stop, original = StopRequest(), run.trainer.step

    def step(points: Tensor, labels: Tensor) -> None:
        original(points, labels)
        stop.wanted = run.trainer.progress.step == at

    run.trainer.step = step  # type: ignore[method-assign]
    with pytest.raises(InterruptedRun):
        run.train(stop)


@pytest.mark.parametrize(
    ("wanted", "kind", "got"), [("auto", "cpu", True), ("off", "cpu", None), ("auto", "mps", None)]
)
def test_fused_is_used_where_torch_has_it(wanted: str, kind: str, got: bool | None) -> None:
    assert resolve_fused(wanted, kind) is got


def test_fused_on_a_device_without_it_is_refused() -> None:
    with pytest.raises(UsageError, match="training.fused=auto"):
        resolve_fused("on", "meta")


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_fused_moves_weights_as_the_plain_optimiser_does(toy_layout: Layout, name: str) -> None:
    torch.manual_seed(0)
    spec = InputSpec(toy_layout, frames=16)
    models = [create_model("last_lite_nano", spec=spec, classes=3) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [
        build_optimizer(model, TrainingConfig(optimizer=name, lr=0.01, fused=fused))
        for model, fused in zip(models, ("off", "on"), strict=True)
    ]
    for _ in range(3):
        gradients = [torch.randn_like(parameter) for parameter in models[0].parameters()]
        for model, optimizer in zip(models, optimizers, strict=True):
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()
    for plain, fused in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(plain, fused, rtol=1e-5, atol=1e-6)


def test_a_saved_optimiser_goes_on_as_it_is_built_now(toy_layout: Layout) -> None:
    model = create_model("last_lite_nano", spec=InputSpec(toy_layout, frames=16), classes=3)
    before = build_optimizer(model, TrainingConfig(optimizer="adamw", fused="off"))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before.step()
    after = build_optimizer(model, TrainingConfig(optimizer="adamw", fused="on"))
    load_optimizer(after, before.state_dict())
    assert [group["fused"] for group in after.param_groups] == [True, True]
    after.step()
    assert {float(state["step"]) for state in after.state.values()} == {2.0}


@pytest.mark.parametrize("fused", ["on", "off"])
def test_a_stopped_run_resumes_to_the_same_bits(toy_store: Path, tmp_path: Path, fused: str) -> None:
    sets = ["training.epochs=2", "training.optimizer=adamw", f"training.fused={fused}"]
    run_training(request(toy_store, tmp_path / "whole", *sets))
    stopped(Run(request(toy_store, tmp_path / "parts", *sets)), at=6)
    run_training(request(toy_store, tmp_path / "parts", *sets))
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert read_trainer(tmp_path / "parts" / "checkpoints" / "epoch-0002")["optimizer"]["param_groups"][0]["fused"] is (
        True if fused == "on" else None
    )


@pytest.fixture
def eager_backend(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """torch.compile without translation to C++; the list takes the names of what is compiled."""
    names: list[str] = []
    compile = torch.compile

    def noted(function: Any, **options: Any) -> Any:
        names.append(function.__name__)
        return compile(function, **options)

    monkeypatch.setattr(compiling, "BACKEND", "eager")
    monkeypatch.setattr(compiling, "what_lacks", lambda device: None)
    monkeypatch.setattr(torch, "compile", noted)
    return names


def test_a_compiled_run_trains_and_saves_as_any_other(
    toy_store: Path, tmp_path: Path, eager_backend: list[str]
) -> None:
    run_training(request(toy_store, tmp_path / "plain", "training.epochs=2"))
    assert eager_backend == []
    sets = ["training.epochs=2", "training.compile=true"]
    run_training(request(toy_store, tmp_path / "compiled", *sets))
    assert eager_backend == list(compiling.PASSES)
    plain, fast = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
    assert list(plain) == list(fast)
    for name, value in plain.items():
        torch.testing.assert_close(fast[name], value)
    stopped(Run(request(toy_store, tmp_path / "parts", *sets)), at=6)
    run_training(request(toy_store, tmp_path / "parts", *sets))
    assert all(torch.equal(fast[name], value) for name, value in weights(tmp_path / "parts").items())


@pytest.mark.slow
def test_a_run_through_the_compiler_resumes_to_the_same_bits(toy_store: Path, tmp_path: Path) -> None:
    if compiling.what_lacks("cpu") is not None:
        pytest.skip(str(compiling.what_lacks("cpu")))
    sets = ["training.epochs=2", "training.compile=true", "model.name=last_lite_nano", "training.amp=bf16"]
    run_training(request(toy_store, tmp_path / "whole", *sets))
    stopped(Run(request(toy_store, tmp_path / "parts", *sets)), at=6)
    run_training(request(toy_store, tmp_path / "parts", *sets))
    whole = weights(tmp_path / "whole")
    assert all(torch.equal(whole[name], value) for name, value in weights(tmp_path / "parts").items())


def test_without_a_compiler_the_reason_is_told(
    toy_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MissingError, match="no C\\+\\+ compiler: no-such-compiler"):
        run_training(request(toy_store, tmp_path / "run", "training.compile=true"))
    assert not (tmp_path / "run" / "run.json").exists()


def test_several_processes_do_not_compile(toy_layout: Layout, eager_backend: list[str]) -> None:
    model = create_model("last_lite_nano", spec=InputSpec(toy_layout, frames=16), classes=3)
    with pytest.raises(UsageError, match="one process"):
        compiling.compile_body(model, device="cpu", processes=Processes(count=2))
    assert eager_backend == []


def test_the_clock_tells_waiting_from_work() -> None:
    now = [0.0]

    def batches() -> Any:
        for _ in range(4):
            now[0] += 1.0
            yield None
        now[0] += 0.5

    clock = LoopClock(lambda: now[0])
    for _ in clock.timed(batches()):
        now[0] += 9.0
    assert clock.read(10) == {"seconds": 40.5, "clips_per_s": 0.99, "waiting": 11.11}
    assert clock.read(10) == {"seconds": 0.0, "clips_per_s": 0.0, "waiting": 0.0}


def test_every_epoch_tells_how_long_it_waited(toy_store: Path, tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    run_training(request(toy_store, tmp_path / "run", "training.epochs=2"), report=lambda row, _: rows.append(row))
    timing = [json.loads(line) for line in (tmp_path / "run" / "timing.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in timing] == [1, 2]
    assert all(0 < row["waiting"] < 100 and row["clips_per_s"] > 0 for row in timing)
    assert rows[1]["waiting"] == timing[1]["waiting"]
    assert "waiting" not in (tmp_path / "run" / "metrics.jsonl").read_text()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell how much memory was held")
def test_every_epoch_tells_how_much_memory_was_held(toy_store: Path, tmp_path: Path) -> None:
    run_training(request(toy_store, tmp_path / "run", "training.epochs=1"))
    (row,) = [json.loads(line) for line in (tmp_path / "run" / "timing.jsonl").read_text().splitlines()]
    assert 50 < row["process_mb"] <= (peak_process_mb() or 0) + 1 and "gpu_mb" not in row


def test_an_apple_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(MissingError, match="no Apple GPU"):
        compiling.resolve_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert compiling.resolve_device("mps") == "mps"


def test_a_run_that_augments_on_the_device_resumes_to_the_same_bits(toy_store: Path, tmp_path: Path) -> None:
    sets = ["training.epochs=2", "training.augment_on=device", "augment.mirror=0.5", "augment.bones=0.1"]
    run_training(request(toy_store, tmp_path / "whole", *sets))
    stopped(Run(request(toy_store, tmp_path / "parts", *sets)), at=6)
    run_training(request(toy_store, tmp_path / "parts", *sets))
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    rows = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "parts")]
    assert rows[0] == rows[1]


def test_a_run_does_not_go_on_with_augmentation_elsewhere(toy_store: Path, tmp_path: Path) -> None:
    stopped(Run(request(toy_store, tmp_path / "run", "training.epochs=2")), at=6)
    with pytest.raises(UsageError, match="training.augment_on processor -> device"):
        run_training(request(toy_store, tmp_path / "run", "training.epochs=2", "training.augment_on=device"))


def test_fixed_views_are_refused_on_the_device(toy_store: Path, tmp_path: Path) -> None:
    wanted = request(toy_store, tmp_path / "run", "training.augment_on=device")
    with pytest.raises(UsageError, match="training.augment_on=processor"):
        run_training(dataclasses.replace(wanted, views=Views(2, 0)))
