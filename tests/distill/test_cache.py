"""Cached answers are the live ones, are shared, survive kills, and are refused as soon as anything else is asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from last_edge.clips.store import ClipStore
from last_edge.distill import answers
from last_edge.distill.answers import answers_on_disk, cached_clips
from last_edge.distill.cache import RowFiles, StageOf, TeacherCache, Teachers
from last_edge.distill.objective import stages_wanted
from last_edge.distill.run import live, run_distillation
from last_edge.errors import InputError, MissingError, UsageError
from last_edge.tasks.plan import make_plan
from last_edge.train.checkpoint import load_checkpoint
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training

SETS = [
    "model.name=last_lite_nano", "training.epochs=3", "training.batch_size=8", "input.frames=16",
    "validation.subjects=[1]", "distill.cache_views=2",
]  # fmt: skip
MAP = ["distill.losses=[{student: 3, teacher: 2, loss: feature_mse, of: 2}]", "distill.cache_features=true"]


def request(store: Path, out: Path, *sets: str) -> Request:
    return Request(load_recipe(None, overrides=[*SETS, *sets]), store, out)


def filled(store: Path, folder: Path, teachers: list[Path], *sets: str) -> TeacherCache:
    recipe = load_recipe(None, overrides=[*SETS, "distill.cache=on", *sets])
    plan = make_plan(ClipStore.open(store), recipe)
    checkpoints = [load_checkpoint(path) for path in teachers]
    return answers_on_disk(checkpoints, plan, recipe, folder=folder, device="cpu")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.npy"))}


def asked(*_: Any) -> None:
    raise AssertionError("a teacher was asked")


def test_cached_answers_are_the_live_ones(toy_store: Path, tmp_path: Path, teacher: Path, other_teacher: Path) -> None:
    cache = filled(toy_store, tmp_path / "cache", [teacher, other_teacher], *MAP)
    recipe = load_recipe(None, overrides=[*SETS, *MAP])
    plan = make_plan(ClipStore.open(toy_store), recipe)
    asked = live([load_checkpoint(path) for path in (teacher, other_teacher)], recipe, "cpu")
    clips = cached_clips(plan, recipe)
    for view in (1, 0):
        clips.epoch = view
        items = [clips[item] for item in (40, 3, 17)]
        points, ids = torch.stack([item[0] for item in items]), torch.tensor([item[2] for item in items])
        got, expected = cache(points, ids, view), asked(points, ids, view)
        assert got.logits.shape == (3, 2, 3)
        torch.testing.assert_close(got.logits, expected.logits, rtol=1e-6, atol=1e-6)
        assert list(got.maps) == list(expected.maps) == list(stages_wanted(recipe.distill))
        for stage, value in expected.maps.items():
            torch.testing.assert_close(got.maps[stage], value, rtol=1e-6, atol=1e-6)


def test_a_student_of_the_cache_is_the_student_of_the_teachers(
    toy_store: Path, tmp_path: Path, teacher: Path, other_teacher: Path
) -> None:
    """To rounding; a small learning rate keeps what training makes of the last bits small."""
    rows: dict[str, list[dict[str, float]]] = {"off": [], "on": []}
    for how, told in rows.items():
        slow = ["training.lr=0.001", "training.warmup_start_lr=0.001", "training.min_lr=0.001"]
        wanted = request(toy_store, tmp_path / how, *MAP, *slow, f"distill.cache={how}")
        run_distillation(wanted, [teacher, other_teacher], report=lambda row, _, told=told: told.append(row))
    for live_row, cached_row in zip(rows["off"], rows["on"], strict=True):
        for name in ("loss", "hard", "soft", "stages", "val_loss"):
            assert cached_row[name] == pytest.approx(live_row[name], rel=1e-4), name
    assert len(list((tmp_path / "teacher_cache").glob("*/cache.json"))) == 1


def test_students_of_other_seeds_share_a_cache_and_ask_no_teacher(
    toy_store: Path, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(toy_store, tmp_path / "cache", [teacher])
    monkeypatch.setattr(Teachers, "__call__", asked)
    for seed in (1, 2):
        wanted = request(toy_store, tmp_path / f"seed{seed}", "distill.cache=on", f"seed={seed}", "training.epochs=1")
        assert run_distillation(wanted, [teacher], cache=tmp_path / "cache")["seed"] == seed
    held_out = request(toy_store, tmp_path / "other", "distill.cache=on", "validation.subjects=[2]")
    run_distillation(held_out, [teacher], cache=tmp_path / "cache")


@pytest.mark.parametrize("rows_left", [0, 5, 30])
def test_a_killed_cache_goes_on_to_the_same_bytes(
    toy_store: Path, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch, rows_left: int
) -> None:
    monkeypatch.setattr(answers, "BATCH", 8)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    sets = ["distill.losses=[{student: 3, teacher: 3, loss: rkd_angle}]", "distill.cache_features=true"]
    filled(toy_store, whole, [teacher], *sets)
    shutil.copytree(whole, killed)
    (killed / "view-0001").replace(killed / ".view-0001.partial")
    with (killed / ".view-0001.partial" / "logits.npy").open("r+b") as stream:
        stream.truncate(128 + 12 * rows_left + 7)
    asked: list[int] = []
    original = Teachers.__call__
    monkeypatch.setattr(
        Teachers, "__call__", lambda self, *given: asked.append(len(given[0])) or original(self, *given)
    )
    filled(toy_store, killed, [teacher], *sets)
    assert content(killed) == content(whole)
    assert sum(asked) == 1 + 48 - rows_left // 8 * 8


def test_another_question_is_refused_and_what_differs_is_named(
    toy_store: Path, tmp_path: Path, teacher: Path, other_teacher: Path
) -> None:
    folder = tmp_path / "cache"
    filled(toy_store, folder, [teacher])
    before = content(folder)
    changes: dict[str, tuple[list[Path], list[str]]] = {
        "teachers": ([other_teacher], []),
        "augment.shear": ([teacher], ["augment.shear=0.2"]),
        "seed": ([teacher], ["distill.cache_seed=1"]),
        "points": ([teacher], ["input.frames=24"]),
        "maps": (
            [teacher],
            ["distill.losses=[{student: 1, teacher: 1, loss: rkd_angle}]", "distill.cache_features=true"],
        ),
    }
    for named, (teachers, sets) in changes.items():
        with pytest.raises(InputError, match="the teacher cache is stale") as error:
            filled(toy_store, folder, teachers, *sets)
        assert f"{named}: " in error.value.render() and "another --cache folder" in error.value.render()
    header = json.loads((folder / "cache.json").read_text())
    (folder / "cache.json").write_text(json.dumps(header | {"store_sha256": "f" * 64}))
    with pytest.raises(InputError, match="store_sha256: ffffffffffff"):
        filled(toy_store, folder, [teacher])
    (folder / "cache.json").write_text(json.dumps(header))
    filled(toy_store, folder, [teacher], "training.lr=0.3", "distill.tau=2", "input.centre=frame")
    assert content(folder) == before


def test_a_changed_augmentation_is_noticed(toy_store: Path, tmp_path: Path, teacher: Path) -> None:
    folder = tmp_path / "cache"
    filled(toy_store, folder, [teacher])
    points = np.load(folder / "probe.npy")
    np.save(folder / "probe.npy", points + 0.01)
    with pytest.raises(InputError, match="the augmentation has changed"):
        filled(toy_store, folder, [teacher])


@pytest.mark.parametrize("name", ["view-0001/logits.npy", "probe.npy", "cache.json"])
def test_damage_is_named(toy_store: Path, tmp_path: Path, teacher: Path, name: str) -> None:
    folder = tmp_path / "cache"
    filled(toy_store, folder, [teacher])
    path = folder / name
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError) as error:
        filled(toy_store, folder, [teacher])
    assert path.name in error.value.render()


def test_more_views_are_added_to_those_there(
    toy_store: Path, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    filled(toy_store, folder, [teacher])
    before = content(folder)
    computed: list[int] = []
    original = answers._fill_view
    monkeypatch.setattr(answers, "_fill_view", lambda *a, **k: computed.append(a[3]) or original(*a, **k))
    filled(toy_store, folder, [teacher], "distill.cache_views=3")
    assert computed == [2]
    assert {name: value for name, value in content(folder).items() if name in before} == before


def test_views_added_for_a_student_without_a_loss_map_keep_the_maps_too(
    toy_store: Path, tmp_path: Path, teacher: Path, other_teacher: Path
) -> None:
    teachers = [teacher, other_teacher]
    filled(toy_store, tmp_path / "cache", teachers, *MAP)
    filled(toy_store, tmp_path / "cache", teachers, "distill.cache_views=3")
    cache = filled(toy_store, tmp_path / "cache", teachers, *MAP, "distill.cache_views=3")
    assert [list(maps) for maps in cache.maps] == [[StageOf(1, 1)]] * 3


@pytest.mark.parametrize(
    ("sets", "named"),
    [
        (["distill.cache_views=0"], "distill.cache_views"),
        (["training.mixup=0.2"], "training.mixup"),
        (["distill.losses=[{student: 1, teacher: 1, loss: rkd_angle}]"], "distill.cache_features=true"),
    ],
)
def test_what_cannot_be_cached_is_refused(
    toy_store: Path, tmp_path: Path, teacher: Path, sets: list[str], named: str
) -> None:
    with pytest.raises(UsageError) as error:
        filled(toy_store, tmp_path / "cache", [teacher], *sets)
    assert named in error.value.render()
    assert not (tmp_path / "cache").exists()


def test_a_folder_with_other_things_in_it_is_left_alone(toy_store: Path, tmp_path: Path, teacher: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a teacher cache"):
        filled(toy_store, folder, [teacher])
    assert (folder / "thesis.txt").read_text() == "mine"


def test_a_full_disk_is_told_before_and_on_the_way(
    toy_store: Path, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
        with pytest.raises(MissingError, match="no room"):
            filled(toy_store, tmp_path / "cache", [teacher])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RowFiles, "append", full)
        with pytest.raises(MissingError, match="no space left"):
            filled(toy_store, tmp_path / "cache", [teacher])
    filled(toy_store, tmp_path / "cache", [teacher])


def test_fixed_views_come_again_whatever_the_seed(toy_store: Path, tmp_path: Path) -> None:
    plan = make_plan(ClipStore.open(toy_store), load_recipe(None, overrides=SETS))
    one, other = (cached_clips(plan, load_recipe(None, overrides=[*SETS, f"seed={seed}"])) for seed in (1, 2))
    drawn = []
    for epoch in range(4):
        one.epoch = other.epoch = epoch
        torch.testing.assert_close(one[5][0], other[5][0], equal_nan=True)
        drawn.append(one[5][0])
    assert torch.equal(drawn[0], drawn[2]) and torch.equal(drawn[1], drawn[3])
    assert not torch.equal(drawn[0], drawn[1])


def test_the_batch_and_its_view_reach_the_source(toy_store: Path, tmp_path: Path, teacher: Path) -> None:
    from last_edge.distill.run import distillation

    told: list[tuple[list[int], int]] = []
    checkpoint = load_checkpoint(teacher)
    asked = Teachers([checkpoint.model])

    def source(points: Tensor, clips: Tensor, view: int) -> Any:
        told.append((clips.tolist(), view))
        return asked(points, clips, view)

    wanted = request(toy_store, tmp_path / "run")
    run_training(
        Request(**{**vars(wanted), "views": type("Views", (), {"count": 2, "seed": 0})()}),
        make_objective=lambda recipe, plan, device: distillation(source, [checkpoint], recipe, plan),
    )
    assert [view for _, view in told] == [0] * 4 + [1] * 4 + [0] * 4
    plan = make_plan(ClipStore.open(toy_store), wanted.recipe)
    assert set(sum((clips for clips, _ in told), [])) <= set(plan.train.tolist())
