"""Pre-training as a run: with or without labels, resumed to the same bits, leaving a trunk to start from."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.distill.run import run_distillation
from last_edge.errors import InputError, InterruptedRun, UsageError
from last_edge.skeleton import Layout, SkeletonClip
from last_edge.tasks.config import Recipe
from last_edge.tasks.plan import make_plan, pretrain_plan
from last_edge.tasks.registry import PRETRAINING
from last_edge.tools.cli import main
from last_edge.train.checkpoint import checkpoint_folder, load_checkpoint, read_pointer
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import Run, StopRequest, run_training

SMALL = [
    "model.name=last_lite_nano",
    "input.frames=16",
    "input.scale=limb",
    "training.batch_size=16",
    "training.optimizer=adamw",
    "training.lr=0.005",
    "training.warmup_epochs=0",
    "pretrain.blocks=4",
    "validation.subjects=[1]",
]


def recipe_of(*sets: str) -> Recipe:
    return load_recipe(None, overrides=[*SMALL, *sets])


def request(store: Path, out: Path, *sets: str) -> Request:
    return Request(recipe_of(*sets), store, out)


@pytest.fixture(scope="module")
def pretrained(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pre-training of last_lite_nano, twelve epochs."""
    out = tmp_path_factory.mktemp("pretrained") / "run"
    run_training(request(toy_store, out, "training.epochs=12"), task=PRETRAINING)
    return out


@pytest.fixture
def unlabelled(toy_store: Path, toy_layout: Layout, tmp_path: Path) -> Path:
    """Clips without labels, splits or subjects."""
    source, path = ClipStore.open(toy_store), tmp_path / "unlabelled"
    with writing_store(path, layout=toy_layout, units="metres", labels=None, about={}, force=False) as writer:
        for clip in range(24):
            points = np.array(source.points(clip))
            writer.add(SkeletonClip.from_points(points, layout=toy_layout, fps=30, units="metres", source_id=str(clip)))
    return path


def test_it_learns_from_training_subjects_and_never_sees_test(pretrained: Path, toy_store: Path) -> None:
    rows = [json.loads(line) for line in (pretrained / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["reconstruction"] < rows[0]["reconstruction"]
    assert rows[-1]["contrast"] < rows[0]["contrast"]
    assert {"val_loss", "val_reconstruction", "val_contrast"} <= set(rows[0]) and "train_top1" not in rows[0]
    final = json.loads((pretrained / "final.json").read_text())
    assert "test" not in final and final["pretrain"] in rows
    store = ClipStore.open(toy_store)
    plan = pretrain_plan(store, recipe_of())
    assert set(store.index.split[plan.train].tolist()) == {"train"} and len(plan.test) == 0
    assert set(store.index.subject[plan.train].tolist()) == {"2", "3", "4"}
    assert set(store.index.subject[plan.val].tolist()) == {"1"}


def test_what_it_leaves_is_a_trunk_and_says_so(pretrained: Path) -> None:
    folder = checkpoint_folder(pretrained)
    names = set(load_file(folder / "model.safetensors"))
    assert names and not any(name.startswith("body.head.") or "decoder" in name for name in names)
    card = json.loads((folder / "model.json").read_text())
    assert card["trunk_only"] is True and card["classes"] == 0
    with pytest.raises(InputError, match="no classifier yet") as error:
        load_checkpoint(pretrained)
    assert "--init" in error.value.render()


def test_a_store_without_labels_serves(unlabelled: Path, tmp_path: Path) -> None:
    sets = ["training.epochs=2", "validation.subjects=[]"]
    final = run_training(request(unlabelled, tmp_path / "run", *sets), task=PRETRAINING)
    assert final["train_clips"] == 24 and final["val_subjects"] == []
    with pytest.raises(InputError, match="no labelled training clips") as refused:
        run_training(request(unlabelled, tmp_path / "train", *sets))
    assert "none has one" in str(refused.value) and "last-edge pretrain maskclr --store" in str(refused.value.hint)


def test_labels_change_nothing(toy_store: Path, tmp_path: Path) -> None:
    plain, shuffled = tmp_path / "plain", tmp_path / "shuffled"
    run_training(request(toy_store, plain, "training.epochs=1"), task=PRETRAINING)
    run = Run(request(toy_store, shuffled, "training.epochs=1"), task=PRETRAINING)
    run.store.index.label[:] = 0
    with StopRequest() as stop:
        run.train(stop)
    run.finish()
    one, other = (load_file(checkpoint_folder(path) / "model.safetensors") for path in (plain, shuffled))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("guide", ["random", "gradient"])
def test_a_stopped_pretraining_resumes_to_the_same_bits(
    toy_store: Path, tmp_path: Path, stop_after: Callable[[Run, int], StopRequest], guide: str
) -> None:
    sets = ["training.epochs=3", f"pretrain.guide={guide}", "pretrain.decoder=points", "training.ema_decay=0.9"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_training(request(toy_store, whole, *sets), task=PRETRAINING)
    run = Run(request(toy_store, parts, *sets), task=PRETRAINING)
    with pytest.raises(InterruptedRun):
        run.train(stop_after(run, 3))
    pointer = read_pointer(parts)
    assert pointer is not None and "step" in pointer.last
    run_training(request(toy_store, parts, *sets), task=PRETRAINING)
    one, other = (load_file(checkpoint_folder(path, "last") / "model.safetensors") for path in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (whole / "metrics.jsonl").read_text() == (parts / "metrics.jsonl").read_text()


def test_a_training_starts_from_the_trunk(pretrained: Path, toy_store: Path, tmp_path: Path) -> None:
    wanted = request(toy_store, tmp_path / "run", "training.epochs=1", f"training.init={pretrained}")
    model = Run(wanted).trainer.model
    trunk, state = load_file(checkpoint_folder(pretrained) / "model.safetensors"), model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in trunk.items())
    final = run_training(wanted)
    assert sorted(final["init"]["loaded"]) == sorted(trunk) and not final["init"]["unused"]
    assert all(name.startswith("body.head.") for name in final["init"]["fresh"])
    assert json.loads((checkpoint_folder(tmp_path / "run") / "init.json").read_text()) == final["init"]


def test_a_distillation_starts_from_the_trunk(pretrained: Path, toy_store: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    run_training(request(toy_store, teacher, "training.epochs=1", "model.name=last_e_nano"))
    wanted = request(toy_store, tmp_path / "student", "training.epochs=1", f"training.init={pretrained}")
    final = run_distillation(wanted, [teacher])
    assert final["init"]["run"] == str(pretrained) and len(final["init"]["sha256"]) == 64


def test_the_command_that_is_shown_next_starts_from_the_trunk(
    toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ["input.frames=16", "training.epochs=1", "pretrain.blocks=4", "input.streams=[joint,bone]"]
    command = ["pretrain", "maskclr", "--model", "last_lite_nano", "--store", str(toy_store), "--quiet"]
    wanted = [part for text in sets for part in ("--set", text)]
    assert main([*command, "--out", str(tmp_path / "pre"), *wanted]) == 0
    said = capsys.readouterr().out.splitlines()
    shown = next(line for line in said if line.startswith("next: "))
    assert any(line.startswith("memory: ") for line in said)
    words = shlex.split(shown.removeprefix("next: last-edge ").replace("RUN", str(tmp_path / "run")))
    assert main([*words, "--set", "training.epochs=1", "--set", "input.frames=16", "--quiet"]) == 0
    assert (tmp_path / "run" / "final.json").is_file()


def test_another_trunk_is_another_run(pretrained: Path, toy_store: Path, tmp_path: Path) -> None:
    other, moved, out = tmp_path / "other", tmp_path / "moved", tmp_path / "run"
    run_training(request(toy_store, other, "training.epochs=1", "seed=3"), task=PRETRAINING)
    first = request(toy_store, out, "training.epochs=1", f"training.init={pretrained}")
    run_training(first)
    moved.symlink_to(pretrained)
    for init, message in ((moved, "finished"), (other, "other settings"), ("''", "other settings")):
        with pytest.raises(UsageError, match=message):
            run_training(request(toy_store, out, "training.epochs=1", f"training.init={init}"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("model.name=last_lite_small", "another model"),
        ("input.streams=[joint,bone]", "streams"),
        ("input.scale=none", "scale"),
        ("input.centre=none", "centre"),
    ],
)
def test_a_trunk_of_another_kind_is_refused(
    pretrained: Path, toy_store: Path, tmp_path: Path, change: str, named: str
) -> None:
    wanted = request(toy_store, tmp_path / "run", "training.epochs=1", f"training.init={pretrained}", change)
    with pytest.raises(InputError, match=named):
        run_training(wanted)
    assert not (tmp_path / "run").exists()


def test_a_trunk_of_another_layout_is_refused(pretrained: Path, toy_layout: Layout, tmp_path: Path) -> None:
    other = dataclasses.replace(toy_layout, name="other", centre=(1,))
    path = tmp_path / "store"
    with writing_store(path, layout=other, units="metres", labels=("a", "b"), about={}, force=False) as writer:
        for number in range(4):
            points = np.random.default_rng(number).normal(size=(1, 20, 5, 3)).astype(np.float32)
            clip = SkeletonClip.from_points(
                points, layout=other, fps=30, units="metres", label="ab"[number % 2], subject=str(number),
                source_id=str(number), split="train",
            )  # fmt: skip
            writer.add(clip)
    wanted = request(path, tmp_path / "run", "validation.subjects=[]", f"training.init={pretrained}")
    with pytest.raises(InputError, match="another input: layout"):
        run_training(wanted)


def test_an_unfinished_pretraining_is_no_start(toy_store: Path, tmp_path: Path) -> None:
    run, stop = Run(request(toy_store, tmp_path / "half", "training.epochs=2"), task=PRETRAINING), StopRequest()
    stop.wanted = True
    with pytest.raises(InterruptedRun):
        run.train(stop)
    with pytest.raises(InputError, match="not finished"):
        run_training(request(toy_store, tmp_path / "run", f"training.init={tmp_path / 'half'}"))


def test_a_share_of_the_labels_is_drawn_by_class(toy_store: Path) -> None:
    store = ClipStore.open(toy_store)
    plans = {
        (share, seed): make_plan(store, recipe_of(f"training.label_share={share}", f"seed={seed}"))
        for share in (0.1, 0.5, 1.0)
        for seed in (0, 1)
    }
    whole = plans[1.0, 0]
    for (share, _), plan in plans.items():
        counts = np.bincount(store.index.label[plan.train], minlength=3)
        assert counts.tolist() == [max(1, round(share * n)) for n in np.bincount(store.index.label[whole.train])]
        assert set(plan.train.tolist()) <= set(whole.train.tolist())
        np.testing.assert_array_equal(plan.val, whole.val)
    assert not np.array_equal(plans[0.5, 0].train, plans[0.5, 1].train)
    np.testing.assert_array_equal(plans[1.0, 0].train, plans[1.0, 1].train)
