"""Two processes train what one trains with twice the batch; they skip, stop and resume together."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from last_edge.errors import UsageError
from last_edge.tasks.plan import make_plan
from last_edge.train.checkpoint import load_checkpoint, read_pointer
from last_edge.train.processes import Processes, SharedBatchNorm, share_statistics
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import Run, run_training

ROOT = Path(__file__).parents[2]
# Dropout, stream noise and mixup draw apart in each process, so they are off where weights are compared.
SETS = [
    "input.frames=16", "training.epochs=2", "training.lr=0.02", "training.amp=off", "model.dropout=0.0",
    "augment.noise_joint=0", "augment.noise_velocity=0", "augment.noise_bone=0", "validation.subjects=[1]",
]  # fmt: skip


def torchrun(store: Path, out: Path, *sets: str, driver: str = "") -> subprocess.Popen[str]:
    """`last-edge train` in two processes on this machine."""
    train = ["train", "--store", str(store), "--out", str(out), "--device", "cpu", "--json", "--set", *SETS, *sets]
    program = [driver, *train] if driver else ["-m", "last_edge.tools.cli", *train]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *program]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finished(process: subprocess.Popen[str]) -> dict[str, object]:
    stdout, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr[-3000:]
    result: dict[str, object] = json.loads(stdout)
    return result


def alone(store: Path, out: Path, *sets: str) -> dict[str, object]:
    return run_training(Request(load_recipe(None, overrides=[*SETS, *sets]), store, out))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run, "last").model.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_are_one_with_twice_the_batch(toy_store: Path, tmp_path: Path, accumulate: int) -> None:
    steps = f"training.gradient_accumulation_steps={accumulate}"
    final = finished(torchrun(toy_store, tmp_path / "two", "training.batch_size=4", steps))
    expected = alone(toy_store, tmp_path / "one", "training.batch_size=8", steps)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(
            two[name], value, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert final["test"]["n"] == expected["test"]["n"]  # type: ignore[index]
    left, right = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    for ours, theirs in zip(left, right, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-3)


@pytest.mark.slow
def test_two_processes_stop_and_resume_together(toy_store: Path, tmp_path: Path) -> None:
    sets = ["training.batch_size=4", "training.epochs=6", "model.dropout=0.2", "training.mixup=0.2"]
    finished(torchrun(toy_store, tmp_path / "whole", *sets))
    driver = tmp_path / "stop_after_five.py"
    driver.write_text(
        "import os, signal, sys\n"
        "from last_edge.tools.cli import main\n"
        "from last_edge.train.trainer import Trainer\n"
        "step = Trainer.step\n"
        "def counted(self, points, labels):\n"
        "    step(self, points, labels)\n"
        "    if self.progress.step == 5 and not self.processes.first:\n"
        f"        os.kill(os.getpid(), {int(signal.SIGTERM)})\n"
        "Trainer.step = counted\n"
        "sys.exit(main())\n"
    )
    stopped = torchrun(toy_store, tmp_path / "parts", *sets, driver=str(driver))
    _, stderr = stopped.communicate(timeout=240)
    assert stopped.returncode != 0 and "a checkpoint is saved" in stderr
    pointer = read_pointer(tmp_path / "parts")
    assert pointer is not None and pointer.last == "epoch-0001-step-00001"
    finished(torchrun(toy_store, tmp_path / "parts", *sets))
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert (tmp_path / "whole" / "metrics.jsonl").read_text() == (tmp_path / "parts" / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_what_is_not_finite_in_one_process_is_skipped_by_both(toy_store: Path, tmp_path: Path) -> None:
    driver = tmp_path / "break_one.py"
    driver.write_text(
        "import sys, torch\n"
        "from last_edge.tools.cli import main\n"
        "from last_edge.train.trainer import Trainer\n"
        "step = Trainer.step\n"
        "def broken(self, points, labels):\n"
        "    bad = self.progress.step == 2 and not self.processes.first\n"
        "    step(self, torch.full_like(points, torch.inf) if bad else points, labels)\n"
        "Trainer.step = broken\n"
        "sys.exit(main())\n"
    )
    out = tmp_path / "run"
    finished(torchrun(toy_store, out, "training.batch_size=4", driver=str(driver)))
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["skipped"] for row in rows] == [2.0, 0.0]
    assert all(value.isfinite().all() for value in weights(out).values())


@pytest.fixture
def group_of_one() -> Iterator[None]:
    """A process group with nobody else in it: exchanges happen and change nothing."""
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 5, 3)])
@pytest.mark.usefixtures("group_of_one")
def test_shared_batch_norm_is_batch_norm(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = (torch.nn.BatchNorm1d if len(shape) == 2 else torch.nn.BatchNorm2d)(4)
    torch.nn.init.normal_(plain.weight)
    shared = torch.nn.Sequential(copy.deepcopy(plain))
    share_statistics(shared, "cpu")
    assert isinstance(shared[0], SharedBatchNorm)
    left, right = (torch.full(shape, 2.0).normal_(2, 3, generator=torch.Generator().manual_seed(1)) for _ in "ab")
    weight = torch.randn(shape)
    for points, norm in ((left.requires_grad_(), plain), (right.requires_grad_(), shared)):
        (norm(points) * weight).sum().backward()
    torch.testing.assert_close(left.grad, right.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain.weight.grad, shared[0].weight.grad, rtol=1e-4, atol=1e-5)
    assert list(shared.state_dict()) == [f"0.{name}" for name in plain.state_dict()]
    for ours, theirs in zip(plain.state_dict().values(), shared.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(plain.eval()(left), shared.eval()(right))


@pytest.mark.usefixtures("group_of_one")
def test_gradients_are_averaged_and_faults_shared() -> None:
    parameters = [
        torch.nn.Parameter(torch.zeros(2, 3)),
        torch.nn.Parameter(torch.zeros(4)),
        torch.nn.Parameter(torch.zeros(1)),
    ]
    parameters[0].grad, parameters[1].grad = torch.full((2, 3), 4.0), torch.arange(4.0)
    for fault in (False, True):
        bad = torch.tensor(fault)
        Processes(count=2).average_gradients(parameters, bad)
        assert bool(bad) is fault
    assert torch.equal(parameters[0].grad, torch.full((2, 3), 1.0))
    assert torch.equal(parameters[1].grad, torch.arange(4.0) / 4)
    assert parameters[2].grad is None


class Second(Processes):
    """The second of two, without the other: what it reads, not what it exchanges."""

    def unite(self, model: torch.nn.Module, device: str) -> None:
        pass

    def from_first(self, make):  # type: ignore[no-untyped-def]
        return make()


def clips_of(run: Run) -> list[list[int]]:
    return [run.learner.clips.clips[batch].tolist() for batch in run.steps.left(run.trainer.progress.step)]


def test_processes_share_out_the_very_clips_of_one(toy_store: Path, tmp_path: Path) -> None:
    small = Request(load_recipe(None, overrides=[*SETS, "training.batch_size=4"]), toy_store, tmp_path / "run")
    large = Request(load_recipe(None, overrides=[*SETS, "training.batch_size=8"]), toy_store, tmp_path / "run")
    first, second = (clips_of(Run(small, processes=Second(rank=rank, count=2))) for rank in (0, 1))
    assert [[*left, *right] for left, right in zip(first, second, strict=True)] == clips_of(Run(large))
    train = make_plan(Run(large).store, large.recipe).train
    assert {clip for batch in first + second for clip in batch} <= set(train.tolist())


def test_another_number_of_processes_is_another_run(toy_store: Path, tmp_path: Path) -> None:
    request = Request(load_recipe(None, overrides=[*SETS, "training.batch_size=4"]), toy_store, tmp_path / "run")
    one, two = (Run(request, processes=Second(count=count)) for count in (1, 2))
    assert one.contents.identity != two.contents.identity


def test_too_few_clips_for_the_processes(toy_store: Path, tmp_path: Path) -> None:
    request = Request(load_recipe(None, overrides=[*SETS, "training.batch_size=32"]), toy_store, tmp_path / "run")
    with pytest.raises(UsageError, match="too few training clips"):
        Run(request, processes=Second(count=2))


def test_alone_nothing_is_changed() -> None:
    processes, model = Processes(), torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    processes.unite(model, "cpu")
    assert type(model[1]) is torch.nn.BatchNorm1d
    assert (processes.first, processes.any(True), processes.any(False)) == (True, True, False)
    assert processes.from_first(lambda: 3) == 3
