"""Ablations: what a plan says is done once, compared on validation people, and tested only when asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from last_edge.clips.store import ClipStore
from last_edge.errors import InputError, InterruptedRun, UsageError
from last_edge.tools.cli import main
from last_edge.tools.experiments import ablation as ablation_run
from last_edge.tools.experiments.ablation import Cell, load_plan, plan_files
from last_edge.tools.experiments.compare import paired_difference

PLAN: dict[str, Any] = {
    "about": "A small one.",
    "recipe": "demo_kd",
    "set": [
        "validation.select=last", "validation.subjects=[2]", "training.epochs=1", "training.batch_size=32",
        "input.frames=16", "augment.mirror=0",
    ],
    "seeds": [0, 1],
    "baseline": "alone",
    "preparations": {
        "teacher": {"command": "train", "set": ["model.name=last_e_nano"]},
        "maskclr": {"command": "pretrain", "recipe": "maskclr", "set": ["pretrain.blocks=4"]},
        "unused": {"command": "train"},
    },
    "cells": {
        "alone": {"command": "train"},
        "kd": {"command": "distill", "teachers": ["teacher"]},
        "maskclr_kd": {"command": "distill", "teachers": ["teacher"], "init": "maskclr"},
    },
    "grids": [
        {
            "prefix": "kd",
            "cell": {"command": "distill", "teachers": ["teacher"]},
            "axes": {"tau": {"2": ["distill.tau=2"], "4": []}},
        }
    ],
}  # fmt: skip
Ablate = Callable[..., tuple[int, dict[str, Any], str]]


def write_plan(folder: Path, **changes: Any) -> Path:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(PLAN | changes))
    return path


def typed(plan: Path, store: Path, out: Path, *flags: str) -> list[str]:
    return ["ablate", "--plan", str(plan), "--store", str(store), "--out", str(out), "--json", *flags]


@pytest.fixture
def ablate(toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ablate:
    """`ablate(*flags, out=..., **changes to the plan)` -> exit code, table, stderr."""

    def run(*flags: str, out: Path | None = None, **changes: Any) -> tuple[int, dict[str, Any], str]:
        code = main(typed(write_plan(tmp_path, **changes), toy_store, out or tmp_path / "out", *flags))
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else {}, captured.err

    return run


@pytest.fixture(scope="module")
def finished(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole plan, done."""
    folder = tmp_path_factory.mktemp("ablation")
    assert main(typed(write_plan(folder), toy_store, folder / "out", "--quiet")) == 0
    return folder / "out"


def test_one_table_on_validation_people_and_nothing_of_the_test(finished: Path) -> None:
    table = json.loads((finished / "ablation.json").read_text())
    assert table["split"] == "val" and table["val_subjects"] == ["2"] and table["clips"] == 12
    rows = {row["name"]: row for row in table["rows"]}
    assert list(rows) == ["alone", "kd", "maskclr_kd", "kd_tau2"]
    assert rows["alone"]["difference"] is None
    for name, row in rows.items():
        finals = [json.loads(file.read_text()) for file in sorted((finished / "cells" / name).glob("*/final.json"))]
        assert [final["seed"] for final in finals] == [0, 1]
        shares = [100 * hits.count("1") / len(hits) for hits in row["hits"]]
        assert [final["val"]["top1"] for final in finals] == [pytest.approx(share, abs=0.01) for share in shares]
        assert all(final["val_subjects"] == ["2"] and "test" not in final for final in finals)
        assert all(("init" in final) == (name == "maskclr_kd") for final in finals)
    assert not (finished / "preparations/unused").exists()
    page = (finished / "ablation.md").read_text()
    assert page.startswith("# Ablation on the validation subjects") and "| alone |" in page
    assert "12 val clips of subjects 2" in page


def test_differences_are_paired_by_seed_and_clip(finished: Path) -> None:
    rows = {row["name"]: row for row in json.loads((finished / "ablation.json").read_text())["rows"]}
    hits = {name: np.array([[c == "1" for c in line] for line in row["hits"]]) for name, row in rows.items()}
    got, expected = rows["kd"]["difference"], paired_difference(hits["kd"], hits["alone"])
    assert (got["points"], got["low"], got["high"]) == (expected.points, expected.low, expected.high)
    assert len(got["mcnemar"]) == 2
    assert rows["alone"]["class_difference"] is None and rows["kd"]["class_difference"]["mcnemar"] == []
    assert f"{rows['kd']['mean_class']['mean']:.2f} ±" in (finished / "ablation.md").read_text()


def test_what_is_done_is_not_repeated_and_an_interruption_is_continued(
    ablate: Ablate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = ablation_run.run_distillation, []

    def stop_at_second(*args: Any, **named: Any) -> Any:
        calls.append(args[0].out.name)
        if len(calls) == 2:
            raise InterruptedRun("stopped")
        return original(*args, **named)

    monkeypatch.setattr(ablation_run, "run_distillation", stop_at_second)
    code, _, _ = ablate("--cell", "kd")
    assert code == 130
    table = json.loads((tmp_path / "out/ablation.json").read_text())
    kd = next(row for row in table["rows"] if row["name"] == "kd")
    assert kd["top1"] is None and "not run yet" in (tmp_path / "out/ablation.md").read_text()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("**/final.json")}
    assert len(done) == 4
    code, table, _ = ablate("--cell", "kd")
    assert code == 0 and all(row["top1"] for row in table["rows"])
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())


def test_cells_and_seeds_share_the_answers_of_the_same_teachers(ablate: Ablate, tmp_path: Path, finished: Path) -> None:
    sets = [*PLAN["set"], "distill.cache=on", "distill.cache_views=1"]
    use = ("--use", f"teacher={finished / 'preparations/teacher'}")
    code, table, _ = ablate("--cell", "kd", "--cell", "kd_tau2", *use, set=sets)
    assert code == 0 and all(row["top1"] for row in table["rows"])
    caches = [path for path in (tmp_path / "out").glob("**/teacher_cache/*") if path.is_dir()]
    assert len(caches) == 1 and caches[0].parent.parent == tmp_path / "out"


def test_another_plan_in_the_same_place_is_refused(ablate: Ablate, finished: Path) -> None:
    code, _, stderr = ablate("--cell", "alone", "--set", "training.epochs=3", out=finished)
    assert code == 2 and "other settings" in stderr


def test_the_final_test_has_its_own_file_and_three_seeds(ablate: Ablate, finished: Path) -> None:
    chosen_by = (finished / "ablation.json").read_text()
    code, table, _ = ablate("--final", "kd", "--seeds", "0,1,2", out=finished)
    assert code == 0 and table["split"] == "test" and table["clips"] == 24
    assert [row["name"] for row in table["rows"]] == ["alone", "kd"]
    assert json.loads((finished / "final_kd.json").read_text()) == table
    assert (finished / "ablation.json").read_text() == chosen_by
    code, _, stderr = ablate("--final", "kd")
    assert code == 2 and "seeds" in stderr
    code, _, stderr = ablate("--final", "kdd", "--seeds", "0,1,2")
    assert code == 2 and "kd" in stderr


def test_a_run_handed_in_must_not_have_met_the_validation_people(
    ablate: Ablate, toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean, leaky = tmp_path / "clean", tmp_path / "leaky"
    small = ["--set", "training.epochs=1", "--set", "input.frames=16", "--set", "training.batch_size=16", "--json"]
    for out, subject in ((clean, 2), (leaky, 3)):
        command = ["train", "--store", str(toy_store), "--out", str(out), *small]
        assert main([*command, "--set", f"validation.subjects=[{subject}]"]) == 0
    capsys.readouterr()
    code, _, stderr = ablate("--cell", "kd", "--use", f"teacher={leaky}")
    assert code == 3 and "learnt from validation subjects" in stderr
    code, _, stderr = ablate("--cell", "kd", "--use", f"techer={clean}")
    assert code == 2 and "teacher" in stderr


def test_dry_run_says_what_is_to_do(ablate: Ablate, tmp_path: Path) -> None:
    code, preview, _ = ablate("--dry-run")
    assert code == 0 and (preview["runs"], preview["to_do"]) == (2 + 4 * 2, 10)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", plan_files())
def test_every_shipped_plan_resolves(name: str, toy_store: Path, tmp_path: Path) -> None:
    plan = load_plan(name)
    assert plan_files()[name].read_text().startswith(f"# last-edge ablate --plan {name} ")
    ablation = ablation_run.Ablation(plan, toy_store, tmp_path, seeds=(0,))
    for _, cell, _, seed in ablation.runs():
        assert ablation.recipe(cell, seed=seed).validation.subjects == ablation.val_subjects


def test_the_shipped_plan_compares_what_it_should(toy_store: Path, tmp_path: Path) -> None:
    plan = load_plan("ablation_kd")
    ablation = ablation_run.Ablation(plan, toy_store, tmp_path, seeds=plan.seeds)
    recipes = {name: ablation.recipe(cell, seed=0) for name, cell in plan.all_cells().items()}
    assert {"alone", "kd", "kd_features", "dkd", "maskclr_kd"} <= set(recipes)
    kinds = {
        (r.distill.a, r.distill.b, r.distill.tau, r.distill.g if r.distill.losses else 0.0)
        for name, r in recipes.items()
        if plan.all_cells()[name].command == "distill" and name not in ("dkd", "maskclr_kd")
    }
    assert kinds == {(a, round(1 - a, 1), t, g) for a in (0.3, 0.5, 0.7) for t in (2, 4, 6) for g in (0.0, 0.1)}
    assert recipes["dkd"].distill.soft == "dkd" and {r.model.name for r in recipes.values()} == {"last_lite_nano"}
    assert len(recipes) == 3 + 18
    larger = ablation_run.Ablation(plan, toy_store, tmp_path, seeds=(0,), model="last_lite_small")
    assert larger.recipe(plan.cells["kd"], seed=0).model.name == "last_lite_small"
    assert larger.recipe(plan.preparations["teacher"], seed=None).model.name == "last_e_base"
    assert larger.recipe(plan.preparations["maskclr"], seed=None).model.name == "last_lite_small"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"baseline": "nobody"}, "nobody"),
        ({"seeds": []}, "seeds"),
        ({"cells": {"alone": {"command": "trian"}}}, "trian"),
        ({"cells": {"alone": {"command": "train", "teachers": ["teacher"]}}}, "teachers"),
        ({"cells": {"alone": {"command": "train", "init": "maskcrl"}}}, "maskclr"),
        ({"cells": {"alone": {"command": "train", "sett": []}}}, "set"),
    ],
)
def test_a_faulty_plan_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError) as error:
        load_plan(str(write_plan(tmp_path, **changes)))
    assert named in error.value.render()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"\xff\xfeseeds", "plan is not text"),
        (b"a: &a [1]\nb: &b [*a, *a]\n" + b"c: [*b, *b]\n" * 5000, "too many values"),
        (b"[" * 5000, "nested too deeply"),
        (b"seeds: !!python/name:os.system", "no YAML tags"),
        (b"seeds", "a plan is a YAML mapping"),
    ],
)
def test_a_plan_is_read_as_carefully_as_a_recipe(tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "plan.yaml").write_bytes(content)
    with pytest.raises(InputError, match=named):
        load_plan(str(tmp_path / "plan.yaml"))


def test_an_unknown_plan_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="ablation_kd"):
        load_plan("ablation_dk")


def test_a_store_without_validation_people_is_refused(toy_store: Path, tmp_path: Path) -> None:
    plan = load_plan(str(write_plan(tmp_path, set=["validation.fraction=0"])))
    with pytest.raises(InputError, match="validation subjects"):
        _ = ablation_run.Ablation(plan, toy_store, tmp_path, seeds=(0,)).val_subjects


def test_the_seed_of_a_cell_does_not_move_the_validation_people(toy_store: Path, tmp_path: Path) -> None:
    sets = [text for text in PLAN["set"] if "subjects" not in text]
    plan = load_plan(str(write_plan(tmp_path, set=[*sets, "validation.fraction=0.25"])))
    ablation = ablation_run.Ablation(plan, toy_store, tmp_path, seeds=(0, 1, 2))
    subjects = {tuple(ablation.recipe(Cell("train"), seed=seed).validation.subjects) for seed in range(6)}
    assert len(subjects) == 1
    train = set(ClipStore.open(toy_store).index.subject[ClipStore.open(toy_store).select(split="train")].astype(str))
    assert set(subjects.pop()) < train
