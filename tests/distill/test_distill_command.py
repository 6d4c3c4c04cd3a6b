"""`last-edge distill` as it is typed: several teachers, a cache, what a dry run tells, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from last_edge.distill.answers import merge_answers
from last_edge.tools.cli import main

SETS = ("training.epochs=1", "training.batch_size=8", "input.frames=16", "validation.subjects=[1]")
MAP = (
    "distill.losses=[{student: 3, teacher: 3, loss: feature_mse, weight: 0.1},"
    " {student: 2, teacher: 1, of: 2, loss: rkd_angle}]"
)


def typed(store: Path, out: Path, *more: str) -> list[str]:
    sets = [text for value in SETS for text in ("--set", value)]
    return ["distill", "--model", "last_lite_nano", "--store", str(store), "--out", str(out), *sets, *more]


def test_a_dry_run_shows_the_loss_map_and_what_the_cache_would_hold(
    toy_store: Path, tmp_path: Path, teacher: Path, other_teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = typed(toy_store, tmp_path / "run", "--teacher", str(teacher), "--teacher", str(other_teacher))
    command += ["--set", MAP, "--set", "distill.g=1", "--cache", str(tmp_path / "cache"), "--dry-run"]
    command += ["--set", "distill.cache_views=5", "--set", "distill.cache_features=true"]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [line.split(": ")[1].split(",")[0] for line in told["teachers"]] == ["last_e_nano", "last_lite_small"]
    assert told["loss_map"] == [
        "stage 3 <- stage 3 of teacher 1: 0.1 * feature_mse",
        "stage 2 <- stage 1 of teacher 2: 1 * rkd_angle",
    ]
    assert told["loss"] == "0.3 * cross entropy + 0.7 * kl (tau 4) + 1 * loss map"
    assert told["projection_params"] == 64 * 64
    cache = told["cache"]
    assert cache["arrays"] == {"logits": [48, 2, 3], "map-1.3": [48, 64, 4, 5], "map-2.1": [48, 48, 24, 5]}
    assert cache["bytes"] == 5 * 48 * 4 * (2 * 3 + 64 * 4 * 5 + 48 * 24 * 5)
    assert (cache["views"], cache["views_there"], cache["clips"]) == (5, 0, 48)
    assert main(command) == 0
    assert "stage 3 <- stage 3 of teacher 1: 0.1 * feature_mse\n" in capsys.readouterr().out
    assert not (tmp_path / "cache").exists() and not (tmp_path / "run").exists()


def test_a_cache_is_filled_used_and_guarded(
    toy_store: Path, tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--teacher", str(teacher), "--cache", str(tmp_path / "cache"), "--set", "distill.losses=[]"]
    more += ["--set", "distill.cache_views=2"]
    assert main(typed(toy_store, tmp_path / "one", *more)) == 0
    first = capsys.readouterr()
    assert "teachers answer: view 1 of 2" in first.err and "view" not in first.out
    assert main(typed(toy_store, tmp_path / "two", *more, "--seed", "7")) == 0
    assert "teachers answer" not in capsys.readouterr().err
    assert main(typed(toy_store, tmp_path / "three", *more, "--set", "augment.mask=0.3", "--dry-run")) == 3
    told = capsys.readouterr().err
    assert "the teacher cache is stale" in told and "augment.mask: 0.3" in told and "another --cache" in told


def test_a_cache_needs_fixed_views(
    toy_store: Path, tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed(toy_store, tmp_path / "run", "--teacher", str(teacher), "--cache", str(tmp_path / "cache"))) == 2
    assert "--set distill.cache_views=8" in capsys.readouterr().err


def test_a_teacher_that_is_none_is_named(
    toy_store: Path, tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = typed(toy_store, tmp_path / "run", "--teacher", str(teacher), "--teacher", str(tmp_path))
    assert main(command) == 3
    assert "not a run or checkpoint" in capsys.readouterr().err


def test_help_names_the_flags_and_ends_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distill", "--help"]) == 0
    told = capsys.readouterr().out
    assert "--cache" in told and "several: repeat it" in " ".join(told.split())
    assert "Example: last-edge distill" in told


def test_a_student_learns_from_answers_instead_of_teachers(
    toy_store: Path, tmp_path: Path, teacher: Path, other_teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    views = ["--set", "distill.cache_views=2", "--set", "distill.losses=[]"]
    each, merged = (str(tmp_path / name) for name in ("each", "merged"))
    both = ["--teacher", str(teacher), "--teacher", str(other_teacher)]
    assert main(typed(toy_store, tmp_path / "asked", *both, *views, "--cache", each)) == 0
    merge_answers(Path(each), Path(merged), tau=4.0)
    capsys.readouterr()
    command = typed(toy_store, tmp_path / "run", "--answers", merged, *views)
    assert main([*command, "--dry-run"]) == 0
    assert "teachers: 2\n" in capsys.readouterr().out and not (tmp_path / "run").exists()
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["beyond_recipe"][0].startswith("answers ")
    assert main([*command, "--set", "augment.mask=0.3", "--force"]) == 3
    assert "augment.mask: 0.3" in capsys.readouterr().err
    for more, named in ((both, "--teacher RUN or --answers FOLDER"), (["--cache", each], "one of them")):
        assert main([*command, *more]) == 2
        assert named in capsys.readouterr().err
    assert main(typed(toy_store, tmp_path / "run")) == 2
    assert "who teaches?" in capsys.readouterr().err
