"""NTU RGB+D as a user meets it: official files, store, gates, a short training on two bodies, evaluation."""

from __future__ import annotations

import json

import pytest

from last_edge.data.readers.ntu import missing_ids
from last_edge.data.synth.ntu import count_splits, part
from last_edge.tools.cli import main

PROTOCOLS = [(classes, protocol) for classes in (60, 120) for protocol in ("xsub", "xview", "xset")]
SHORT = (
    "input.bodies=2", "input.frames=12", "training.epochs=1", "training.batch_size=12", "validation.fraction=0",
)  # fmt: skip
LEARN = (
    "training.epochs=25", "training.batch_size=6", "training.optimizer=adamw", "training.lr=0.005",
    "training.warmup_epochs=1", "training.warmup_start_lr=0.005", "training.label_smoothing=0",
    "validation.select=last",
)  # fmt: skip


@pytest.fixture
def run(capsys):
    """Run a command; its exit code and the JSON it prints."""

    def call(*arguments):
        capsys.readouterr()
        code = main([*map(str, arguments), "--json"])
        captured = capsys.readouterr()
        assert captured.out, captured.err
        return code, json.loads(captured.out)

    return call


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Official files of three actions of each half: 72 clips of NTU 60 and 72 of the second half."""
    folder = tmp_path_factory.mktemp("ntu") / "raw"
    small = ("--classes", "120", "--groups", "4", "--actions", "3", "--frames", "20", "--quiet")
    assert main(["data", "synth-ntu", "--out", str(folder), *small]) == 0
    return folder


def prepared(run, raw, store, classes, protocol):
    options = ("--classes", classes, "--split-type", protocol, "--out", store, "--quiet")
    code, summary = run("data", "prepare", "ntu", raw, *options)
    assert (code, summary["classes"], summary["left_out"]) == (0, classes, [])
    return summary


def trained(run, store, out, *sets):
    code, result = run("train", "--model", "last_lite_nano", "--store", store, "--out", out, "--quiet", "--set", *sets)
    assert code == 0
    return result


@pytest.mark.parametrize(("classes", "protocol"), PROTOCOLS)
def test_files_become_a_store_that_holds_every_gate(tmp_path, run, raw, classes, protocol):
    summary = prepared(run, raw, tmp_path / "store", classes, protocol)
    names = part(classes, groups=4, actions=3)
    listed = len(missing_ids() & {name.clip_id for name in names})
    assert summary["splits"] == count_splits(names, without=missing_ids())[protocol]
    assert summary["clips"] == 72 * classes // 60 - listed
    code, facts = run("data", "info", tmp_path / "store", "--gates")
    assert (code, [gate for gate in facts["gates"] if gate["passed"] is False]) == (0, [])
    assert facts["shape"] == [2, 25, 3]


@pytest.mark.parametrize(
    ("classes", "protocol"),
    [pytest.param(*each, marks=() if each == (60, "xsub") else pytest.mark.slow) for each in PROTOCOLS],
)
def test_two_bodies_are_trained_and_evaluated(tmp_path, run, raw, classes, protocol):
    summary = prepared(run, raw, tmp_path / "store", classes, protocol)
    trained(run, tmp_path / "store", tmp_path / "run", *SHORT)
    assert json.loads((tmp_path / "run" / "final.json").read_text())["test"]["n"] == summary["splits"]["test"]
    code, result = run("eval", tmp_path / "run", "--store", tmp_path / "store")
    assert (code, result["n"]) == (0, summary["splits"]["test"])
    assert 0 <= result["top1"] <= result["top3"] <= result["top5"] <= 100


@pytest.mark.slow
def test_a_short_training_learns_the_actions_of_unseen_people(tmp_path, run, raw):
    prepared(run, raw, tmp_path / "store", 60, "xsub")
    trained(run, tmp_path / "store", tmp_path / "run", *SHORT, *LEARN)
    _, result = run("eval", tmp_path / "run", "--store", tmp_path / "store")
    assert result["top1"] > 80
