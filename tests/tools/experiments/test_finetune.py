"""`train --finetune BUNDLE`: its model, input and weights, a head of one's own, and a bundle at the end."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from last_edge.bundle import Bundle, Golden, Manifest, ModelInfo, write_bundle
from last_edge.bundle.manifest import WEIGHTS
from last_edge.clips import ClipStore
from last_edge.clips.writer import append_clips
from last_edge.errors import EXIT_INPUT, EXIT_USAGE, GateError, InputError, UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.skeleton import Layout
from last_edge.tasks.config import QuantizeConfig
from last_edge.tools import cli
from last_edge.tools.experiments import finetune
from last_edge.tools.experiments.finetune import epochs_for, finetune_values, finish_bundle
from last_edge.train.checkpoint import checkpoint_folder, read_trunk

OPTIONS = {"dropout": 0.05}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, toy_layout: Layout) -> Path:
    """A bundle of an untrained model of two classes with its float weights; its graph is never run."""
    spec = InputSpec(toy_layout, 16, scale="limb", streams=("joint", "bone"))
    torch.manual_seed(5)
    model = create_model("last_lite_nano", spec=spec, classes=2, **OPTIONS)
    golden = Golden({"landmarks": np.zeros((1, *spec.shape), np.float32)}, {"fp32": np.zeros((1, 2), np.float32)})
    manifest = Manifest("base", ModelInfo("last_lite_nano", OPTIONS, 1), {}, spec, "metres", "y up", ("here", "there"),
                        licence="research use")  # fmt: skip
    files = {"model.fp32.onnx": b"never run", "golden.npz": golden.to_bytes(), "card.md": b"base\n"}
    path = tmp_path_factory.mktemp("bundles") / "base"
    write_bundle(path, manifest, files=files | {WEIGHTS: save(model.state_dict())})
    return path


def without(bundle: Path, name: str, out: Path) -> Path:
    opened = Bundle.open(bundle)
    files = {file: opened.read(file) for file in opened.manifest.files if file != name}
    write_bundle(out, opened.manifest, files=files)
    return out


def test_model_and_input_are_the_bundles_and_flags_win(
    base: Path, toy_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--finetune", str(base), "--store", str(toy_store), "--out", "never", "--dry-run", "--json"]
    assert cli.main(words) == 0
    shown = json.loads(capsys.readouterr().out)
    facts = shown["recipe"]
    for expected in (
        "name: last_lite_nano",
        "dropout: 0.05",
        "frames: 16",
        "scale: limb",
        "- joint\n  - bone",
        "lr: 0.003",
    ):
        assert expected in facts
    assert "new: body.head." in shown["init"] and len(shown["lr"]) == 100
    assert cli.main([*words, "--epochs", "3", "--lr", "0.01", "--set", "augment.mirror=0.5"]) == 0
    changed = json.loads(capsys.readouterr().out)
    assert len(changed["lr"]) == 3 and "lr: 0.01" in changed["recipe"] and "mirror: 0.5" in changed["recipe"]


def test_a_trunk_comes_from_a_bundles_weights(base: Path, toy_store: Path) -> None:
    manifest = Bundle.open(base).manifest
    trunk = read_trunk(base, model="last_lite_nano", spec=manifest.input)
    weights = load_file(base / WEIGHTS)
    model = create_model("last_lite_nano", spec=manifest.input, classes=3, **OPTIONS)
    report = trunk.into(model)
    state = model.state_dict()
    assert report.loaded and all(torch.equal(state[name], weights[name]) for name in report.loaded)
    assert all(name.startswith("body.head.") for name in report.fresh) and not report.unused
    assert report.sha256 == manifest.files[WEIGHTS]
    with pytest.raises(InputError, match="another model"):
        read_trunk(base, model="last_e_nano", spec=manifest.input)
    with pytest.raises(InputError, match="another input: scale"):
        read_trunk(base, model="last_lite_nano", spec=dataclasses.replace(manifest.input, scale="none"))


def test_the_epochs_are_those_in_which_six_thousand_clips_are_seen(toy_store: Path, tmp_path: Path) -> None:
    store = ClipStore.open(toy_store)
    assert epochs_for(store) == 100  # 48 training clips: 125 would do
    many = dataclasses.replace(store.clip(0), split="train")
    copies = [dataclasses.replace(many, source_id=f"{n}", label="ab"[n % 2]) for n in range(1000)]
    assert epochs_for(append_clips(tmp_path / "many", copies)) == 10
    assert epochs_for(append_clips(tmp_path / "some", copies[:150])) == 40
    with pytest.raises(UsageError, match="nothing to tell apart"):
        epochs_for(append_clips(tmp_path / "one", copies[:30:2]))


def test_other_points_are_refused_with_what_makes_them_fit(
    base: Path, toy_store: Path, toy_layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = ClipStore.open(toy_store).clip(0)
    other = dataclasses.replace(toy_layout, name="toy6", centre=(1,))
    for name, change in (("units", {"units": "image01"}), ("layout", {"layout": other})):
        append_clips(tmp_path / name, [dataclasses.replace(clip, **change)])
        with pytest.raises(InputError, match="other points than the bundle takes") as caught:
            finetune_values(base, tmp_path / name)
        assert f"data convert {tmp_path / name} --bundle {base}" in (caught.value.hint or "")
    words = ["train", "--finetune", str(base), "--store", str(tmp_path / "units"), "--out", str(tmp_path / "run")]
    assert cli.main(words) == EXIT_INPUT and not (tmp_path / "run").exists()
    assert "metres" in capsys.readouterr().err


def test_a_bundle_without_weights_and_no_store_say_what_to_type(
    base: Path, toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = without(base, WEIGHTS, tmp_path / "bare")
    assert cli.main(["train", "--finetune", str(bare), "--store", str(toy_store)]) == EXIT_INPUT
    assert "--weights" in capsys.readouterr().err
    assert cli.main(["train", "--finetune", str(base), "--out", str(tmp_path / "run")]) == EXIT_USAGE
    assert "last-edge record" in capsys.readouterr().err


@pytest.fixture
def trained(base: Path, toy_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of one epoch on the bundle's weights, before it becomes a bundle."""
    monkeypatch.setattr("last_edge.tools.experiments.finetune.finish_bundle", lambda *given, **named: {})
    words = ["train", "--finetune", str(base), "--store", str(toy_store), "--out", str(tmp_path / "run"), "--quiet"]
    assert cli.main([*words, "--epochs", "1", "--threads", "1"]) == 0
    return tmp_path / "run"


def test_training_begins_at_the_bundles_weights(trained: Path, base: Path, toy_store: Path) -> None:
    final = json.loads((trained / "final.json").read_text())
    assert final["init"]["run"] == str(base) and final["init"]["sha256"] == Bundle.open(base).manifest.files[WEIGHTS]
    learnt, before = load_file(checkpoint_folder(trained) / "model.safetensors"), load_file(base / WEIGHTS)
    first = next(name for name in final["init"]["loaded"] if name.endswith("weight"))
    away = float((learnt[first] - before[first]).abs().mean() / before[first].abs().mean())
    assert 0 < away < 0.5
    assert learnt["body.head.fc.weight"].shape[0] == len(ClipStore.open(toy_store).labels) == 3


def test_both_licences_go_on_and_a_refused_int8_leaves_fp32(
    trained: Path, base: Path, toy_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    def export(run: Path, out: Path, **how: object) -> None:
        asked.append(how)
        started = Bundle.open(base)
        write_bundle(out, started.manifest, files={name: started.read(name) for name in started.manifest.files})

    def refuse(*given: object, **named: object) -> None:
        raise GateError("the INT8 file is not shipped")

    monkeypatch.setattr(finetune, "export_run", export)
    monkeypatch.setattr(finetune, "quantize_bundle", refuse)
    said = finish_bundle(trained, toy_store, base=base, limits=QuantizeConfig())
    assert said["int8"] == "none: the INT8 file is not shipped" and said["measured_on"] == "test"
    assert asked[0]["weights"] is True and asked[0]["store"] is not None
    licence = Bundle.open(trained / "bundle").manifest.licence
    assert (
        licence == "clips: unknown; weights started from base: research use"
        and licence in (trained / "bundle" / "card.md").read_text()
    )


@pytest.mark.slow
def test_from_clips_to_a_bundle_that_runs(
    base: Path, toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["train", "--finetune", str(base), "--store", str(toy_store), "--out", str(run), "--epochs", "60", "--json"]
    limits = ["--set", "quantize.min_speedup=0", "--set", "quantize.max_bytes_fixed=200000"]
    assert cli.main([*words, *limits, "--threads", "1"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["bundle"] == str(run / "bundle") and said["test"]["top1"] > 60
    assert cli.main(["verify", said["bundle"], "--store", str(toy_store)]) == 0
    assert cli.main(["run", said["bundle"], "--source", f"store:{toy_store}", "--no-window", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["clips_right"] > 40
