"""Answers of teachers that are elsewhere: merged into one, learnt from without one, refused where they misfit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from last_edge.clips.store import ClipStore
from last_edge.distill.answers import answers_on_disk, merge_answers
from last_edge.distill.cache import Teachers
from last_edge.distill.objective import ensemble_logits
from last_edge.distill.run import describe_distillation, run_distillation
from last_edge.errors import InputError, UsageError
from last_edge.tasks.plan import make_plan
from last_edge.train.checkpoint import load_checkpoint
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request

SETS = [
    "model.name=last_lite_nano", "training.epochs=3", "training.batch_size=8", "training.lr=0.01", "input.frames=16",
    "validation.subjects=[1]", "distill.cache_views=2",
]  # fmt: skip


def request(store: Path, out: Path, *sets: str) -> Request:
    return Request(load_recipe(None, overrides=[*SETS, *sets]), store, out)


@pytest.fixture(scope="module")
def each(toy_store: Path, teacher: Path, other_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both teachers' answers to two views, side by side."""
    folder, recipe = tmp_path_factory.mktemp("answers") / "each", load_recipe(None, overrides=SETS)
    plan, teachers = (
        make_plan(ClipStore.open(toy_store), recipe),
        [load_checkpoint(p) for p in (teacher, other_teacher)],
    )
    answers_on_disk(teachers, plan, recipe, folder=folder, device="cpu")
    return folder


@pytest.fixture
def merged(each: Path, tmp_path: Path) -> Path:
    """Both teachers' answers as one teacher's."""
    merge_answers(each, tmp_path / "merged", tau=4.0)
    return tmp_path / "merged"


def test_merged_answers_are_the_teachers_mean_probability(each: Path, tmp_path: Path) -> None:
    merge_answers(each, tmp_path / "merged", weights=[3, 1], tau=2.0)
    for view in ("view-0000", "view-0001"):
        logits = np.load(each / view / "logits.npy")
        one = np.load(tmp_path / "merged" / view / "logits.npy")
        assert logits.shape == (48, 2, 3) and one.shape == (48, 1, 3) and one.dtype == np.float32
        expected = ensemble_logits(torch.from_numpy(logits), torch.tensor([3.0, 1.0]), 2.0)
        np.testing.assert_allclose(one[:, 0], expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(UsageError, match="will not overwrite"):
        merge_answers(each, tmp_path / "merged", tau=2.0)


def test_a_student_learns_from_answers_what_it_learns_from_the_teachers(
    toy_store: Path, tmp_path: Path, teacher: Path, other_teacher: Path, merged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: dict[str, list[dict[str, float]]] = {"teachers": [], "answers": []}
    alone = ["distill.a=0", "distill.b=1", "training.epochs=6", "training.label_smoothing=0"]
    wanted = request(toy_store, tmp_path / "one", *alone)
    run_distillation(wanted, [teacher, other_teacher], report=lambda row, _: rows["teachers"].append(row))
    monkeypatch.setattr(Teachers, "__call__", lambda *_: pytest.fail("a teacher was asked"))
    wanted = request(toy_store, tmp_path / "two", *alone)
    final = run_distillation(wanted, [], answers=merged, report=lambda row, _: rows["answers"].append(row))
    assert final["beyond_recipe"][0].startswith("answers ")
    assert rows["answers"][-1]["soft"] < 0.5 * rows["answers"][0]["soft"]
    for live, stored in zip(rows["teachers"], rows["answers"], strict=True):
        for name in ("loss", "hard", "soft", "val_loss"):
            assert stored[name] == pytest.approx(live[name], rel=1e-2), name


def test_a_dry_run_shows_what_the_answers_hold(toy_store: Path, tmp_path: Path, merged: Path) -> None:
    told = describe_distillation(request(toy_store, tmp_path / "run"), [], answers=merged)
    assert told["loss"] == "0.3 * cross entropy + 0.7 * kl (tau 4)"
    assert told["answers"] == {"folder": str(merged), "teachers": 2, "views": 2, "clips": 48, "tau": 4.0}


@pytest.mark.parametrize(
    ("sets", "kind", "named"),
    [
        (["augment.shear=0.2"], InputError, ["augment.shear: 0.2", "augment.shear: 0.1", "by this recipe's augment"]),
        (["input.frames=24"], InputError, ["points", "by this recipe's augment and input"]),
        (["distill.cache_seed=3"], InputError, ["seed: 3"]),
        (["distill.cache_views=3"], UsageError, ["1 to 2", "--set distill.cache_views=2"]),
        (["distill.cache_views=0"], UsageError, ["1 to 2", "--set distill.cache_views=2"]),
        (["distill.tau=2"], UsageError, ["another temperature", "--set distill.tau=4"]),
        (["training.mixup=0.2"], UsageError, ["training.mixup=0"]),
        (["distill.teacher_weights=[2, 1]"], UsageError, ["--set distill.teacher_weights=[]"]),
        (
            ["distill.losses=[{student: 3, teacher: 3, loss: rkd_angle}]"],
            UsageError,
            ["no feature maps", "--set distill.losses=[]"],
        ),
    ],
)
def test_answers_to_another_question_are_refused(
    toy_store: Path, tmp_path: Path, merged: Path, sets: list[str], kind: type[Exception], named: list[str]
) -> None:
    with pytest.raises(kind) as error:
        run_distillation(request(toy_store, tmp_path / "run", *sets), [], answers=merged)
    assert all(text in str(error.value) for text in named)
    assert not (tmp_path / "run").exists()


def test_answers_about_another_store_or_without_a_view_are_refused(
    toy_store: Path, tmp_path: Path, merged: Path
) -> None:
    header = (merged / "cache.json").read_text()
    (merged / "cache.json").write_text(header.replace(ClipStore.open(toy_store).sha256, "0" * 64))
    with pytest.raises(InputError, match="(?s)store_sha256: 000000000000.*answers to this store"):
        run_distillation(request(toy_store, tmp_path / "run"), [], answers=merged)
    (merged / "cache.json").write_text(header)
    shutil.rmtree(merged / "view-0001")
    with pytest.raises(UsageError, match="--set distill.cache_views=1"):
        run_distillation(request(toy_store, tmp_path / "run"), [], answers=merged)
    with pytest.raises(InputError, match="file not found"):
        run_distillation(request(toy_store, tmp_path / "run"), [], answers=tmp_path / "nothing")
