"""`last-edge seeds`: one row for runs that differ in the seed alone, figures as `eval` gives them."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from last_edge.clips.store import ClipStore
from last_edge.distill.run import run_distillation
from last_edge.errors import InputError
from last_edge.tools.cli import main
from last_edge.tools.experiments.seeds import seeds_table
from last_edge.train.evaluate import evaluate_run
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training

SMALL = ["input.frames=8", "training.batch_size=16", "training.epochs=1", "validation.fraction=0"]


@pytest.fixture(scope="module")
def runs(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    wanted = {"one": ["seed=1"], "two": ["seed=2"], "wide": ["seed=1", "training.lr=0.02"]}
    for name, sets in wanted.items():
        recipe = load_recipe(None, overrides=[*SMALL, "model.name=last_lite_nano", *sets])
        run_training(Request(recipe, toy_store, folder / name))
    return {name: folder / name for name in wanted}


def test_runs_that_differ_in_the_seed_alone_share_a_row(toy_store: Path, runs: dict[str, Path]) -> None:
    store = ClipStore.open(toy_store)
    both, alone = seeds_table([runs["one"], runs["wide"], runs["two"]], store, split="test")
    each = [evaluate_run(runs[name], store)["top1"] for name in ("one", "two")]
    assert both["runs"] == "one, two" and both["top1_each"] == each
    assert both["top1"] == round(statistics.fmean(each), 2) and both["top1_sd"] == round(statistics.stdev(each), 2)
    assert alone["seeds"] == 1 and alone["top1_sd"] is None


def test_rows_are_paired_with_the_first_by_seed(toy_store: Path, runs: dict[str, Path]) -> None:
    store = ClipStore.open(toy_store)
    first, second = seeds_table([runs["one"], runs["wide"]], store, split="test", paired=True)
    gap = evaluate_run(runs["wide"], store)["top1"] - evaluate_run(runs["one"], store)["top1"]
    found = second["top1_difference"]
    assert first["top1_difference"] is None and found["points"] == pytest.approx(gap, abs=0.02)
    assert found["low"] <= found["points"] <= found["high"] and len(found["mcnemar"]) == 1
    with pytest.raises(InputError, match="seeds cannot be paired"):
        seeds_table([runs["one"], runs["two"], runs["wide"]], store, split="test", paired=True)


def test_what_a_teacher_helped_is_another_row(toy_store: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    recipe = load_recipe(None, overrides=[*SMALL, "model.name=last_lite_nano", "seed=2"])
    run_distillation(Request(recipe, toy_store, tmp_path / "student"), [runs["wide"]])
    rows = seeds_table([runs["one"], tmp_path / "student"], ClipStore.open(toy_store), split="test")
    assert [row["runs"] for row in rows] == ["one", "student"]


def test_the_same_seed_twice_is_no_spread(toy_store: Path, runs: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="same seed twice"):
        seeds_table([runs["one"], runs["one"]], ClipStore.open(toy_store), split="test")


def test_the_command_prints_and_writes_the_table(
    toy_store: Path, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "table.md"
    assert (
        main(["seeds", str(runs["one"]), str(runs["two"]), "--store", str(toy_store), "--out", str(out), "--json"]) == 0
    )
    (row,) = json.loads(capsys.readouterr().out)
    assert f"{row['top1']:.2f} ± {row['top1_sd']:.2f}" in out.read_text()
    assert main(["seeds", str(runs["one"]), "--store", str(toy_store), "--out", str(out)]) == 2
    both = [str(runs["one"]), str(runs["wide"]), "--store", str(toy_store), "--out", str(out), "--paired", "--force"]
    assert main(["seeds", *both]) == 0 and "above the first row" in out.read_text()
