"""A translator's run: what it learns, what its checkpoint holds, how it goes on, what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from last_edge.clips import ClipStore
from last_edge.errors import InputError, InterruptedRun, UsageError
from last_edge.tasks.plan import translation_plan
from last_edge.tasks.registry import TRANSLATION
from last_edge.tasks.task import Row
from last_edge.tasks.translator import read_translator
from last_edge.text import SPECIAL
from last_edge.tools.cli import main
from last_edge.train.checkpoint import load_checkpoint, read_tensors, task_of_run
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import Run, run_training


def final_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "final.json").read_text()))


def rows_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_to_translate_people_it_never_saw(run: Path, sentences: Path) -> None:
    test, rows = final_of(run)["test"], rows_of(run)
    assert test["n"] == 40 and test["bleu4"] > 60 and test["wer"] < 25
    assert test["bleu1"] >= test["bleu2"] >= test["bleu3"] >= test["bleu4"]
    best = max(rows, key=lambda row: (row["val_bleu4"], -row["val_loss"]))
    assert final_of(run)["checkpoint"] == f"epoch-{int(best['epoch']):04d}"
    assert test["tier"] in ("none", "minimum", "good", "excellent") and test["examples"][0].keys() == {"wanted", "said"}


def test_the_checkpoint_carries_its_tokenizer(run: Path) -> None:
    loaded = load_checkpoint(run)
    tokens = read_translator(loaded).words.vocabulary.tokens
    assert tokens[:4] == SPECIAL and "\u2581down" in tokens
    assert json.loads((loaded.path / "labels.json").read_text())["names"] == list(tokens)
    assert task_of_run(run) is TRANSLATION
    (damaged := run.parent / "damaged").mkdir(exist_ok=True)
    shutil.copytree(loaded.path, damaged, dirs_exist_ok=True)
    (damaged / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="not a tokenizer"):
        read_translator(load_checkpoint(damaged))
    (damaged / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="no tokenizer here"):
        read_translator(load_checkpoint(damaged))


def test_eval_tells_the_same_as_the_run(run: Path, sentences: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run), "--store", str(sentences), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == final_of(run)["test"]
    assert main(["eval", str(run), "--store", str(sentences), "--split", "val"]) == 3
    assert "no clips with text in this split" in capsys.readouterr().err
    assert main(["eval", str(run), "--store", str(sentences)]) == 0
    assert "BLEU-4" in capsys.readouterr().out


def test_validation_people_are_held_out_and_their_words_unknown(sentences: Path, settings: list[str]) -> None:
    store, recipe = ClipStore.open(sentences), load_recipe(None, overrides=settings)
    plan = translation_plan(store, recipe)
    parts = [set(store.index.subject[clips].tolist()) for clips in (plan.train, plan.val, plan.test)]
    assert [len(part) for part in parts] == [2, 1, 1] and len(set.union(*parts)) == 4
    fewer = load_recipe(None, overrides=[*settings, "translate.subset=7"])
    subset = translation_plan(store, fewer).train
    assert len(subset) == 7 and set(subset) < set(plan.train)


def test_a_resumed_run_ends_as_the_unbroken_one(sentences: Path, settings: list[str], tmp_path: Path) -> None:
    recipe = load_recipe(None, overrides=[*settings, "training.epochs=3", "translate.validate_bleu=false"])

    def stop_after_two(row: Row, epochs: int) -> None:
        if row["epoch"] == 2:
            raise InterruptedRun("stopped")

    run_training(Request(recipe, sentences, tmp_path / "whole"))
    with pytest.raises(InterruptedRun):
        run_training(Request(recipe, sentences, tmp_path / "broken"), report=stop_after_two)
    run_training(Request(recipe, sentences, tmp_path / "broken"))
    whole, broken = (
        read_tensors(load_checkpoint(tmp_path / name).path / "model.safetensors") for name in ("whole", "broken")
    )
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    with pytest.raises(UsageError, match="finished"):
        run_training(Request(recipe, sentences, tmp_path / "broken"))


def test_batches_hold_every_clip_once_in_any_order(sentences: Path, settings: list[str], tmp_path: Path) -> None:
    recipe = load_recipe(None, overrides=settings)
    begun = Run(Request(recipe, sentences, tmp_path / "run"))
    items = begun.steps.left(0)

    def clips_of(epoch: int, done: int) -> list[list[int]]:
        return [batch.clips.tolist() for batch in begun.learner.batches(epoch, items, done)]

    first = clips_of(0, 0)
    assert sorted(sum(first, [])) == sorted(begun.plan.train[sum(items, [])].tolist())
    assert clips_of(0, 2) == first[2:]
    assert clips_of(1, 0) != first


def test_a_frozen_encoder_stays_as_it_was(run: Path, sentences: Path, settings: list[str], tmp_path: Path) -> None:
    sets = [*settings, "training.epochs=1", f"training.init={run}", "translate.freeze_encoder=true", "training.lr=0.02"]
    run_training(Request(load_recipe(None, overrides=sets), sentences, tmp_path / "tuned"))
    before, after = (
        read_tensors(load_checkpoint(path).path / "model.safetensors") for path in (run, tmp_path / "tuned")
    )
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and not [name for name in moved if name.startswith(("stem", "encoder"))]
    assert {name.split(".")[0] for name in moved} == {"decoder", "decoder_norm", "embed", "score"}


@pytest.mark.parametrize(
    ("sets", "named"),
    [
        (["translate.freeze_encoder=true"], "frozen encoder"),
        (["training.mixup=0.2"], "training.mixup"),
        (["augment.crop=0.9"], "augment.crop"),
        (["training.class_weights=balanced"], "training.class_weights"),
    ],
)
def test_what_a_translator_cannot_do_is_refused(
    sentences: Path, settings: list[str], tmp_path: Path, sets: list[str], named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        run_training(Request(load_recipe(None, overrides=[*settings, *sets]), sentences, tmp_path / "run"))


def test_a_store_without_texts_is_refused(toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "run")]
    assert main(["train", "--model", "sign2text_v4", "--store", str(toy_store), *out, "--dry-run"]) == 3
    assert "no training sentences" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["sign2text_composed", "sign2text_how2sign"])
def test_shipped_recipes_plan_a_run(
    sentences: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    arguments = ["train", "--recipe", name, "--store", str(sentences), "--out", str(tmp_path / "r"), "--dry-run"]
    assert main([*arguments, "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["clips"]["train"] == 80 and planned["sub_words"] > len(SPECIAL)
    assert np.isclose(max(planned["lr"]), {"sign2text_composed": 1e-3, "sign2text_how2sign": 1e-4}[name])
