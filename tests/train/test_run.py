"""A run: it learns, keeps subjects apart, resumes to the bit, survives kills, and says what is wrong."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from last_edge.clips.store import ClipStore
from last_edge.errors import InputError, InterruptedRun, UsageError
from last_edge.tasks.plan import make_plan
from last_edge.train.checkpoint import checkpoint_folder, load_checkpoint, read_pointer
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import Run, StopRequest, run_training

SMALL = [
    "input.frames=16",
    "training.batch_size=8",
    "training.lr=0.01",
    "training.optimizer=adamw",
    "training.warmup_start_lr=0.001",
    "training.ema_decay=0.9",
    "training.mixup=0.2",
    "augment.crop=0.8",
    "augment.mask=0.1",
    "validation.subjects=[1]",
]
DRIVER = """
import sys, torch
from pathlib import Path
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training
torch.set_num_threads(1)
store, out, *sets = sys.argv[1:]
wanted = Request(load_recipe(None, overrides=sets), Path(store), Path(out))
run_training(wanted, report=lambda row, epochs: print(row["epoch"], flush=True))
"""


def request(store: Path, out: Path, *sets: str, force: bool = False, may_change: bool = False) -> Request:
    return Request(load_recipe(None, overrides=[*SMALL, *sets]), store, out, force=force, may_change=may_change)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run, "last").model.state_dict()


def same_weights(one: Path, other: Path) -> bool:
    left, right = weights(one), weights(other)
    return all(torch.equal(left[name], right[name]) for name in left)


def test_learns_and_reports(toy_store: Path, tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    out = tmp_path / "run"
    final = run_training(request(toy_store, out, "training.epochs=25"), report=lambda row, _: rows.append(row))
    assert final["test"]["top1"] >= 90.0
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert [json.loads(line)["epoch"] for line in (out / "metrics.jsonl").read_text().splitlines()] == list(
        range(1, 26)
    )
    assert json.loads((out / "final.json").read_text()) == final
    names = {path.name for path in checkpoint_folder(out).iterdir()}
    expected = "model.safetensors model.json input.json labels.json recipe.yaml metrics.jsonl env.json trainer.pt"
    assert names == set(expected.split())


def test_validation_is_subject_disjoint_and_never_test(toy_store: Path) -> None:
    store = ClipStore.open(toy_store)
    for seed in range(5):
        plan = make_plan(store, load_recipe(None, overrides=[f"seed={seed}", "validation.fraction=0.5"]))
        who = [set(store.index.subject[part].tolist()) for part in (plan.train, plan.val, plan.test)]
        assert all(who[a].isdisjoint(who[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
        assert set(store.index.split[plan.val].tolist()) == {"train"}
        assert len(plan.train) + len(plan.val) + len(plan.test) == len(store)


def test_a_stopped_run_resumes_to_the_same_bits(
    toy_store: Path, tmp_path: Path, stop_after: Callable[[Run, int], StopRequest]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_training(request(toy_store, whole, "training.epochs=3"))
    run = Run(request(toy_store, parts, "training.epochs=3"))
    with pytest.raises(InterruptedRun):
        run.train(stop_after(run, 6))
    pointer = read_pointer(parts)
    assert pointer is not None and pointer.last == "epoch-0001-step-00002"
    run_training(request(toy_store, parts, "training.epochs=3"))
    assert same_weights(whole, parts)
    assert (whole / "metrics.jsonl").read_text() == (parts / "metrics.jsonl").read_text()


def test_ten_kills_change_nothing(toy_store: Path, tmp_path: Path) -> None:
    sets = [*SMALL, "training.epochs=12"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, "-c", DRIVER, str(toy_store)]
    subprocess.run([*command, str(whole), *sets], check=True, capture_output=True)
    dice = random.Random(3)
    kills = 0
    for _ in range(10):
        process = subprocess.Popen([*command, str(killed), *sets], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(timeout=dice.uniform(0.0, 0.06))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 5
    if not (killed / "final.json").exists():
        subprocess.run([*command, str(killed), *sets], check=True, capture_output=True)
    assert same_weights(whole, killed)


def test_a_bad_batch_is_skipped_and_counted(toy_store: Path, tmp_path: Path) -> None:
    run = Run(request(toy_store, tmp_path / "run", "training.epochs=1"))
    points, labels = torch.randn(8, 16, 5, 3), torch.arange(8) % 3
    points[3, 2, 1] = torch.inf
    before = {name: value.clone() for name, value in run.trainer.model.state_dict().items()}
    run.trainer.step(points, labels)
    after = run.trainer.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert run.trainer.end_epoch()["skipped"] == 1.0


def test_finished_and_foreign_runs_are_not_touched(toy_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_training(request(toy_store, out, "training.epochs=1"))
    with pytest.raises(UsageError, match="finished"):
        run_training(request(toy_store, out, "training.epochs=1"))
    with pytest.raises(UsageError, match="other settings") as refused:
        run_training(request(toy_store, out, "training.epochs=2"))
    assert "training.epochs 1 -> 2" in str(refused.value)
    run_training(request(toy_store, out, "training.epochs=2", force=True))
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="will not overwrite"):
        run_training(request(toy_store, strange, "training.epochs=1"))
    assert (strange / "thesis.txt").read_text() == "mine"


OTHERS = [
    "training.label_smoothing=0.2",
    "training.gradient_clip=0.5",
    "training.lr=0.02",
    "training.weight_decay=0.01",
    "training.loss=focal",
    "training.mixup=0",
    "augment.mask=0",
]


def test_a_run_goes_on_with_other_settings_and_writes_them_down(
    toy_store: Path, tmp_path: Path, stop_after: Callable[[Run, int], StopRequest]
) -> None:
    out = tmp_path / "run"
    run = Run(request(toy_store, out, "training.epochs=2"))
    with pytest.raises(InterruptedRun):
        run.train(stop_after(run, 6))
    final = run_training(request(toy_store, out, "training.epochs=3", *OTHERS, may_change=True))
    (row,) = [json.loads(line) for line in (out / "changes.jsonl").read_text().splitlines()]
    assert row["after"] == "epoch-0001-step-00002"
    assert row["settings"]["training.lr"] == [0.01, 0.02] and row["settings"]["training.epochs"] == [2, 3]
    assert set(row["settings"]) == {"training.epochs", *(text.partition("=")[0] for text in OTHERS)}
    assert final["changes"] == [row] and final["epochs"] == 3
    assert yaml.safe_load((out / "recipe.yaml").read_text())["training"]["label_smoothing"] == 0.2
    state = torch.load(out / "checkpoints" / "epoch-0003" / "trainer.pt", weights_only=True)
    assert state["optimizer"]["param_groups"][0]["weight_decay"] == 0.01


def test_a_change_counts_from_where_it_was_made(
    toy_store: Path, tmp_path: Path, stop_after: Callable[[Run, int], StopRequest]
) -> None:
    """As one run that had the new settings from that step on."""
    out, same = tmp_path / "run", tmp_path / "same"
    for place in (out, same):
        run = Run(request(toy_store, place, "training.epochs=2"))
        with pytest.raises(InterruptedRun):
            run.train(stop_after(run, 6))
    run_training(request(toy_store, out, "training.epochs=2", "training.lr=0.05", may_change=True))
    run_training(request(toy_store, same, "training.epochs=2"))
    assert not same_weights(out, same)
    rates = [json.loads(line)["lr"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(rates) == 2


def test_a_finished_run_goes_on_with_more_epochs_alone(toy_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_training(request(toy_store, out, "training.epochs=1"))
    with pytest.raises(UsageError, match="finished") as refused:
        run_training(request(toy_store, out, "training.epochs=1", "training.lr=0.02", may_change=True))
    assert "more --epochs" in str(refused.value.hint) and (out / "final.json").exists()
    final = run_training(request(toy_store, out, "training.epochs=2", "training.ema_decay=0", may_change=True))
    assert final["epochs"] == 2 and final["changes"][0]["after"] == "epoch-0001"
    final = run_training(request(toy_store, out, "training.epochs=3", "training.ema_decay=0.9", may_change=True))
    assert [row["after"] for row in final["changes"]] == ["epoch-0001", "epoch-0002"]


@pytest.mark.parametrize(
    "other", ["training.batch_size=4", "training.optimizer=sgd", "input.frames=8", "seed=3", "validation.subjects=[2]"]
)
def test_what_cannot_change_is_refused(toy_store: Path, tmp_path: Path, other: str) -> None:
    out = tmp_path / "run"
    run_training(request(toy_store, out, "training.epochs=1"))
    with pytest.raises(UsageError, match="other settings"):
        run_training(request(toy_store, out, "training.epochs=2", other, may_change=True))


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("model.safetensors", b"garbage", "weights cannot be read"),
        ("model.json", b"{}", "missing field"),
        ("input.json", b"[1]", "not an object"),
        ("labels.json", b"\xff", "not a JSON file"),
    ],
)
def test_a_broken_checkpoint_is_named(toy_store: Path, tmp_path: Path, name: str, content: bytes, named: str) -> None:
    out = tmp_path / "run"
    run_training(request(toy_store, out, "training.epochs=1"))
    (checkpoint_folder(out) / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        load_checkpoint(out)
    assert named in error.value.render() and name in error.value.render()


def test_another_input_than_trained_with_is_refused(toy_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_training(request(toy_store, out, "training.epochs=1"))
    path = checkpoint_folder(out) / "input.json"
    path.write_text(path.read_text().replace('"centre": "first"', '"centre": "none"'))
    with pytest.raises(InputError, match="not the one the model was trained with"):
        load_checkpoint(out)


def test_a_pickle_in_place_of_trainer_state_runs_nothing(toy_store: Path, tmp_path: Path) -> None:
    run = Run(request(toy_store, tmp_path / "run", "training.epochs=2"))
    stop = StopRequest()
    stop.wanted = True
    with pytest.raises(InterruptedRun):
        run.train(stop)
    mark = tmp_path / "executed"
    evil = b"cpathlib\nPath.touch\n(cpathlib\nPath\n(S'" + str(mark).encode() + b"'\ntRtR."
    (checkpoint_folder(tmp_path / "run", "last") / "trainer.pt").write_bytes(evil)
    with pytest.raises(InputError, match="trainer state cannot be read"):
        run_training(request(toy_store, tmp_path / "run", "training.epochs=2"))
    assert not mark.exists()


def test_augmentation_depends_on_seed_epoch_and_clip_alone(toy_store: Path, tmp_path: Path) -> None:
    data = Run(request(toy_store, tmp_path / "run")).learner.clips
    data.epoch = 3
    one, again = data[5][0], data[5][0]
    data.epoch = 4
    other = data[5][0]
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other, equal_nan=True)


def test_a_run_belongs_to_one_process(
    toy_store: Path, tmp_path: Path, hold: Callable[[Path], AbstractContextManager[None]]
) -> None:
    out = tmp_path / "run"
    with hold(out), pytest.raises(UsageError, match="another process writes here"):
        run_training(request(toy_store, out, "training.epochs=1", force=True))
    run_training(request(toy_store, out, "training.epochs=1"))
    assert [item.name for item in tmp_path.iterdir()] == ["run"]
