"""`last-edge data`: options reach the readers, results are JSON, bad input is an error of code 3."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from last_edge.errors import InputError, UsageError
from last_edge.tools.cli import application, main

LAYOUT = {"name": "glove", "names": ["wrist", "tip"], "parents": [0, 0]}


@pytest.fixture
def source(tmp_path):
    (tmp_path / "glove.json").write_text(json.dumps(LAYOUT))
    (tmp_path / "in").mkdir()
    frames = np.random.default_rng(0).normal(size=(8, 2, 3))
    arrays = {"lengths": np.full(4, 2), "labels": np.array(list("xyxy")), "subjects": np.array(list("aabb"))}
    np.savez(tmp_path / "in" / "a.npz", frames=frames, **arrays)
    return tmp_path / "in"


def call(*arguments):
    result = CliRunner().invoke(application(), ["data", *[str(argument) for argument in arguments]])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def prepared(tmp_path, source, *more):
    layout = tmp_path / "glove.json"
    return call("prepare", "npz", source, "--layout", layout, "--out", tmp_path / "store", "--quiet", "--json", *more)


def test_prepare_then_info_as_json(tmp_path, source):
    summary = json.loads(prepared(tmp_path, source, "--leave-out", "b", "--units", "image01"))
    assert (summary["clips"], summary["splits"], summary["layout"]) == (4, {"test": 2, "train": 2}, "glove")
    facts = json.loads(call("info", tmp_path / "store", "--verify", "--json"))
    assert (facts["sha256"], facts["units"], facts["labels"]) == (summary["sha256"], "image01", {"x": 2, "y": 2})
    assert facts["shared_subjects"] == {"test/train": []}


def test_info_for_people_names_the_essentials(tmp_path, source):
    prepared(tmp_path, source)
    shown = call("info", tmp_path / "store")
    assert "4 clips" in shown
    assert "near-duplicates" in shown


def test_gates_that_hold_are_shown_and_one_that_fails_is_exit_code_4(tmp_path, source, capsys):
    prepared(tmp_path, source, "--leave-out", "b", "--units", "metres")
    shown = call("info", tmp_path / "store", "--gates", "--limit", "fast=1")
    assert "FAILED" not in shown and "label" in shown
    judged = ("data", "info", str(tmp_path / "store"), "--gates", "--limit", "shortest=3", "--limit", "fast=1")
    assert main([*judged, "--json"]) == 4
    captured = capsys.readouterr()
    gates = {gate["name"]: gate for gate in json.loads(captured.out)["gates"]}
    assert (gates["length"]["passed"], len(gates["length"]["clips"]), gates["people"]["passed"]) == (False, 4, True)
    assert "a quality gate failed" in captured.err
    assert main(list(judged)) == 4
    assert "FAILED" in capsys.readouterr().out


def test_limits_without_gates_name_the_command(tmp_path, source):
    prepared(tmp_path, source)
    with pytest.raises(UsageError, match="--gates --limit fast=0"):
        call("info", tmp_path / "store", "--limit", "fast=0")


def test_clips_without_points_are_told(tmp_path, source):
    np.savez(source / "b.npz", frames=np.full((2, 2, 3), np.nan), lengths=np.array([2]), labels=np.array(["x"]))
    layout = ("--layout", tmp_path / "glove.json", "--units", "metres")
    shown = call("prepare", "npz", source, *layout, "--out", tmp_path / "store", "--quiet")
    assert "left out, no point in any frame: 1 clips (b/00000)" in shown


def test_dry_run_writes_nothing(tmp_path, source):
    assert json.loads(prepared(tmp_path, source, "--dry-run"))["sha256"] == ""
    assert not (tmp_path / "store").exists()


def test_existing_store_needs_force(tmp_path, source):
    prepared(tmp_path, source)
    with pytest.raises(UsageError, match="--force"):
        prepared(tmp_path, source)
    prepared(tmp_path, source, "--force")


def test_changed_byte_is_bad_input(tmp_path, source):
    prepared(tmp_path, source)
    file = tmp_path / "store" / "frames.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    call("info", tmp_path / "store")
    with pytest.raises(InputError, match=r"frames\.npy") as caught:
        call("info", tmp_path / "store", "--verify")
    assert caught.value.exit_code == 3


def test_option_of_another_dataset_is_a_usage_error(tmp_path, source):
    with pytest.raises(UsageError, match="split_type"):
        prepared(tmp_path, source, "--split-type", "xsub")


def test_synth_makes_a_store(tmp_path):
    sizes = ("--glosses", "2", "--signers", "2", "--clips", "1", "--test-signers", "1")
    summary = json.loads(call("synth", "--out", tmp_path / "store", "--quiet", "--json", *sizes))
    assert (summary["clips"], summary["classes"], summary["splits"]) == (4, 2, {"test": 2, "train": 2})
    assert summary["layout"] == "mediapipe_holistic75"


@pytest.mark.parametrize(
    ("name", "own", "others"), [("ntu", "--split-type", "--units"), ("npz", "--units", "--rotate")]
)
def test_a_format_shows_its_own_options_alone(name, own, others):
    shown = call("prepare", name, "--help")
    assert own in shown and "--leave-out" in shown and others not in shown


@pytest.mark.parametrize("command", ["prepare", "info", "synth"])
def test_help_ends_with_an_example(command):
    assert f"last-edge data {command}" in call(command, "--help").replace("\n", " ")


@pytest.mark.parametrize("command", ["prepare ntu", "synth", "info"])
def test_verbose_is_known_to_every_command(command):
    assert "--verbose" in call(*command.split(), "--help")


@pytest.mark.parametrize(("flags", "options"), [([], {}), (["--no-centre"], {"centre": False})])
def test_centring_can_be_left_out(tmp_path, monkeypatch, flags, options):
    from last_edge.data import prepare

    def told(name, source, **given):
        raise UsageError("asked", got=given["options"])

    monkeypatch.setattr(prepare, "prepare", told)
    with pytest.raises(UsageError) as caught:
        call("prepare", "ntu", tmp_path, "--out", tmp_path / "store", "--quiet", *flags)
    assert caught.value.got == str(options)
