"""A translator that looks through a recogniser's trunk: plan B of the How2Sign strategy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from last_edge.clips import ClipStore
from last_edge.clips.windows import padded, sentence_points
from last_edge.errors import InputError, InterruptedRun, UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.sign2text import create_translator
from last_edge.runtime.translator import Translator
from last_edge.skeleton import Layout
from last_edge.tasks.task import Row
from last_edge.text import SOS
from last_edge.tools.cli import main
from last_edge.train.checkpoint import ModelCard, load_checkpoint, read_tensors, write_checkpoint
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training

OPTIONS = {"stem": 8, "widths": [8, 8, 16], "dropout": 0.1}
FIT = ["training.epochs=2", "model.stride=1", "model.trunk_frames=16", "translate.validate_bleu=false"]


@pytest.fixture(scope="module")
def recogniser(toy_layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small last_e_nano with statistics of its own."""
    torch.manual_seed(1)
    spec = InputSpec(toy_layout, frames=32, centre="first", scale="none")
    model = create_model("last_e_nano", spec=spec, classes=3, **OPTIONS)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    card = ModelCard("last_e_nano", OPTIONS, 3, spec.sha256, "", "metres")
    path = tmp_path_factory.mktemp("recogniser") / "checkpoint"
    labels = ("grab", "swipe", "tap")
    weights = model.state_dict()
    write_checkpoint(path, weights=weights, card=card, spec=spec, labels=labels, texts={}, trainer={})
    return path


@pytest.fixture(scope="module")
def frozen(recogniser: Path, sentences: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with that trunk, frozen."""
    out = tmp_path_factory.mktemp("frozen") / "run"
    sets = [*settings, *FIT, f"training.init={recogniser}", "translate.freeze_encoder=true"]
    run_training(Request(load_recipe(None, overrides=sets), sentences, out))
    return out


def test_the_trunk_stays_and_the_rest_learns(frozen: Path, recogniser: Path) -> None:
    loaded = load_checkpoint(frozen)
    before, after = read_tensors(recogniser / "model.safetensors"), read_tensors(loaded.path / "model.safetensors")
    taken = {name for name in after if name.startswith("trunk.")}
    assert taken == {f"trunk.{name}" for name in before if not name.startswith("body.head.")}
    assert all(torch.equal(after[name], before[name.removeprefix("trunk.")]) for name in taken)
    assert loaded.card.options["trunk"] == "last_e_nano" and loaded.card.options["trunk_options"] == OPTIONS
    assert not loaded.model.trunk.training  # type: ignore[union-attr]
    final = json.loads((frozen / "final.json").read_text())
    assert set(final["init"]["loaded"]) == taken and not [name for name in final["init"]["fresh"] if name in taken]
    losses = [json.loads(line)["loss"] for line in (frozen / "metrics.jsonl").read_text().splitlines()]
    assert losses[1] < losses[0]


def test_without_freezing_its_weights_learn_and_its_norms_stay(
    recogniser: Path, sentences: Path, settings: list[str], tmp_path: Path
) -> None:
    sets = [*settings, *FIT, "training.epochs=1", "translate.subset=16", f"training.init={recogniser}"]
    run_training(Request(load_recipe(None, overrides=sets), sentences, tmp_path / "run"))
    tensors = read_tensors(load_checkpoint(tmp_path / "run").path / "model.safetensors")
    before = read_tensors(recogniser / "model.safetensors")
    moved = {name for name in tensors if name.startswith("trunk.") and not torch.equal(tensors[name], before[name[6:]])}
    assert moved and not [name for name in moved if "running" in name]


def test_a_broken_run_ends_as_the_unbroken_one(
    frozen: Path, recogniser: Path, sentences: Path, settings: list[str], tmp_path: Path
) -> None:
    sets = [*settings, *FIT, f"training.init={recogniser}", "translate.freeze_encoder=true"]
    recipe = load_recipe(None, overrides=sets)

    def stop(row: Row, epochs: int) -> None:
        if row["epoch"] == 1:
            raise InterruptedRun("stopped")

    with pytest.raises(InterruptedRun):
        run_training(Request(recipe, sentences, tmp_path / "broken"), report=stop)
    run_training(Request(recipe, sentences, tmp_path / "broken"))
    whole, broken = (
        read_tensors(load_checkpoint(path).path / "model.safetensors") for path in (frozen, tmp_path / "broken")
    )
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


@pytest.mark.slow
def test_its_bundle_says_the_same_in_both_precisions(
    frozen: Path, sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    assert main(["export", str(frozen), "--out", str(out), "--store", str(sentences), "--quiet"]) == 0
    store, loaded, deployed = ClipStore.open(sentences), load_checkpoint(frozen), Translator.open(out, precision="fp32")
    points = padded([sentence_points(store, int(clip), 40) for clip in (3, 7, 11)])
    with torch.inference_mode():
        wanted = loaded.model(torch.from_numpy(points), torch.full((3, 1), SOS))[:, 0].numpy()
    assert np.allclose(deployed.first_logits(points), wanted, atol=1e-4)
    loose = [f"quantize.{name}" for name in ("min_speedup=0", "max_bytes_fixed=400000", "max_bleu_drop=100")]
    limits = [part for text in (*loose, "quantize.min_equal_sentences=0") for part in ("--set", text)]
    assert main(["quantize", str(out), "--store", str(sentences), "--clips", "8", *limits, "--quiet"]) == 0
    assert main(["verify", str(out), "--store", str(sentences)]) == 0
    assert main(["translate", str(out), "--source", f"store:{sentences}", "--limit", "1"]) == 0


def test_how_many_missing_frames_follow_changes_nothing(toy_layout: Layout) -> None:
    torch.manual_seed(0)
    options = {"width": 16, "heads": 2, "hidden": 32, "trunk": "last_e_nano", "trunk_options": OPTIONS}
    spec = InputSpec(toy_layout, frames=90, resample="pad")
    model = create_translator("sign2text_v4", spec=spec, tokens=9, trunk_frames=16, **options).eval()
    points, tokens = torch.randn(2, 37, 5, 3), torch.tensor([[SOS, 5], [SOS, 6]])
    longer = torch.cat([points, torch.full((2, 40, 5, 3), torch.nan)], dim=1)
    with torch.inference_mode():
        said = model(points, tokens)
        assert torch.allclose(model(longer, tokens), said, atol=1e-5)
        points[0, 36] += 1.0
        changed = (model(points, tokens) - said).abs().amax(dim=(1, 2))
    assert changed[0] > 1e-4 and changed[1] == 0


def test_a_translator_of_a_trunk_starts_another(
    frozen: Path, sentences: Path, settings: list[str], tmp_path: Path
) -> None:
    sets = [*settings, *FIT, "training.epochs=1", f"training.init={frozen}", "translate.freeze_encoder=true"]
    run_training(Request(load_recipe(None, overrides=sets), sentences, tmp_path / "tuned"))
    before, after = (
        read_tensors(load_checkpoint(path).path / "model.safetensors") for path in (frozen, tmp_path / "tuned")
    )
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved and not moved & {"trunk", "stem", "encoder", "encoder_norm"}


@pytest.mark.parametrize(
    ("sets", "error", "named"),
    [
        (["model.trunk=last_e_nano"], UsageError, "a trunk comes from a run"),
        (["model.trunk=last_e_small", "INIT"], UsageError, "another trunk"),
        (["model.trunk_frames=10", "INIT"], UsageError, "multiple of 4"),
        (["input.streams=[joint]", "INIT"], InputError, "the trunk reads another input"),
    ],
)
def test_what_does_not_fit_is_refused(
    recogniser: Path, sentences: Path, settings: list[str], tmp_path: Path, sets: list[str], error: type, named: str
) -> None:
    given = [f"training.init={recogniser}" if text == "INIT" else text for text in sets]
    recipe = load_recipe(None, overrides=[*settings, *FIT, *given])
    with pytest.raises(error, match=named):
        run_training(Request(recipe, sentences, tmp_path / "run"))
