"""A translator's bundle: the files say what the model says, without torch, and prove themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.clips import ClipStore, writing_store
from last_edge.clips.windows import padded, sentence_points
from last_edge.errors import InputError
from last_edge.inputs import InputSpec
from last_edge.runtime.translator import Translator, clips_of
from last_edge.skeleton import Layout, SkeletonClip
from last_edge.tasks.translator import read_translator, search_options
from last_edge.tools.cli import main
from last_edge.train.checkpoint import load_checkpoint


def test_the_files_say_what_the_model_says(bundle: Path, run: Path, sentences: Path) -> None:
    store, deployed, loaded = ClipStore.open(sentences), Translator.open(bundle, precision="fp32"), load_checkpoint(run)
    clips = store.select(split="test")
    translator = read_translator(loaded)
    options = search_options(loaded.recipe.translate, longest=translator.model.options.longest)
    assert deployed.options == options
    for beam in (1, 3):
        wanted = translator.sentences(store, clips, search_options(loaded.recipe.translate, longest=10, beam=beam))
        points = padded([sentence_points(store, int(clip), 40) for clip in clips])
        assert deployed.sentences(points, beam=beam) == wanted
        alone = [deployed.translate(sentence_points(store, int(clip), 40), beam=beam).text for clip in clips[:5]]
        assert alone == wanted[:5]


def test_figures_are_those_of_the_run(
    bundle: Path, run: Path, sentences: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    final = json.loads((run / "final.json").read_text())["test"]
    told = Bundle.open(bundle).manifest.metrics["fp32"]
    assert {name: told[name] for name in ("bleu4", "wer", "n")} == {name: final[name] for name in ("bleu4", "wer", "n")}
    assert main(["eval", str(bundle), "--store", str(sentences), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bleu4"] == final["bleu4"]
    assert main(["verify", str(bundle), "--store", str(sentences), "--json"]) == 0
    assert f"BLEU-4 {final['bleu4']}" in capsys.readouterr().out


def test_translate_prints_a_line_a_clip_without_torch(bundle: Path, sentences: Path) -> None:
    code = f"""
import sys
from last_edge.tools.cli import main
main(["translate", {str(bundle)!r}, "--source", "store:{sentences}", "--split", "test", "--limit", "3", "--json"])
assert not [name for name in ("torch", "tokenizers", "sacrebleu") if name in sys.modules]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    assert [row["clip"] for row in rows] == ["s003", "s007", "s011"] and all(row["text"].endswith(".") for row in rows)


def test_one_clip_of_a_store_and_what_is_refused(
    bundle: Path, sentences: Path, toy_store: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["translate", str(bundle), "--source", f"store:{sentences}#s003"]) == 0
    assert capsys.readouterr().out.startswith("s003: ")
    for source, code, named in (
        (f"store:{sentences}#nobody", 3, "no such clip"),
        (f"store:{sentences}#s0003", 3, "s003"),
        (str(tmp_path / "absent.pose"), 3, "no such file"),
    ):
        assert main(["translate", str(bundle), "--source", source]) == code
        assert named in capsys.readouterr().err
    assert main(["eval", str(bundle), "--store", str(sentences), "--precision", "int8"]) == 3
    assert "bundle has no int8 encoder" in capsys.readouterr().err


def test_clips_without_a_name_go_by_their_number(toy_layout: Layout, tmp_path: Path) -> None:
    spec, random = InputSpec(toy_layout, frames=40, resample="pad"), np.random.default_rng(0)
    with writing_store(tmp_path / "store", layout=toy_layout, units="metres", labels=()) as writer:
        for split in ("train", "test", "test"):
            points = random.normal(size=(1, 6, 5, 3)).astype(np.float32)
            writer.add(SkeletonClip.from_points(points, layout=toy_layout, fps=10, units="metres", split=split))
    source = f"store:{tmp_path / 'store'}"
    assert [name for name, _ in clips_of(source, spec, units="metres", split="test")] == ["#1", "#2"]
    assert [name for name, _ in clips_of(f"{source}##2", spec, units="metres")] == ["#2"]
    with pytest.raises(InputError, match="no clips of this split"):
        clips_of(source, spec, units="metres", split="val")


@pytest.mark.parametrize(
    ("of_run", "flags", "named"),
    [
        (True, ["--precision", "int8"], "a run has no INT8 file"),
        (False, ["--which", "last"], "--which names a checkpoint of a run"),
        (False, ["--merge-at", ","], "--merge-at is for classifiers"),
    ],
)
def test_eval_refuses_what_does_not_apply(
    bundle: Path, run: Path, sentences: Path, capsys: pytest.CaptureFixture[str], of_run: bool, flags: list[str],
    named: str,
) -> None:  # fmt: skip
    assert main(["eval", str(run if of_run else bundle), "--store", str(sentences), *flags]) == 2
    assert named in capsys.readouterr().err


def test_a_changed_byte_is_found(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents = {file.name: file.read_bytes() for file in bundle.iterdir()}
    for name in ("decoder.fp32.onnx", "tokenizer.json", "search.json"):
        (broken := tmp_path / name).mkdir()
        for file, content in contents.items():
            (broken / file).write_bytes(content)
        (broken / name).write_bytes(contents[name][:-2] + b"  ")
        assert main(["verify", str(broken)]) == 4
        assert name in capsys.readouterr().err
        assert main(["translate", str(broken), "--source", "store:x"]) == 3
        assert "bytes have changed" in capsys.readouterr().err


def test_a_classifier_is_told_where_to_go(
    bundle: Path, make_bundle: object, sentences: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier = make_bundle()  # type: ignore[operator]
    assert main(["translate", str(classifier), "--source", f"store:{sentences}"]) == 3
    assert "last-edge run" in capsys.readouterr().err
    assert main(["eval", str(classifier), "--store", str(sentences), "--beam", "2"]) == 2
    assert "--beam is for translators" in capsys.readouterr().err


def test_flags_for_classifiers_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), "--out", str(tmp_path / "b"), "--dynamic-time"]) == 2
    assert "--dynamic-time is for classifiers" in capsys.readouterr().err
    assert main(["export", str(run), "--out", str(tmp_path / "b"), "--dry-run"]) == 0
    assert not (tmp_path / "b").exists()


def test_padding_in_a_batch_changes_no_sentence(bundle: Path, sentences: Path) -> None:
    store, deployed = ClipStore.open(sentences), Translator.open(bundle, precision="fp32")
    points = sentence_points(store, 3, 40)
    longer = np.concatenate([points, np.full((9, *points.shape[1:]), np.nan, np.float32)])[None]
    assert np.allclose(deployed.first_logits(points[None]), deployed.first_logits(longer), atol=1e-5)
