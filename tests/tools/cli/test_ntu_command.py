"""`last-edge data synth-ntu`: files in the official format, counts by protocol, nothing overwritten."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from last_edge.tools.cli import main
from last_edge.tools.cli.training import PROTOCOLS, store_path

PAGE = (Path(__file__).parents[3] / "docs" / "command_map.md").read_text()
PREPARATIONS = re.findall(
    r"^\| `(--dataset [^`]*)` \| `last-edge data (prepare ntu [^`]*)` \|$", PAGE, flags=re.MULTILINE
)


def run(capsys, *arguments):
    code = main(["data", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_whole_data_set_is_counted_without_writing(tmp_path, capsys):
    whole = ("--groups", 0, "--actions", 0, "--classes", 120, "--dry-run")
    code, out, _ = run(capsys, "synth-ntu", "--out", tmp_path / "raw", *whole, "--json")
    facts = json.loads(out)
    assert (code, facts["clips"], facts["missing"]) == (0, 114_480, 535)
    assert facts["splits"]["without_missing"]["xset"] == {"test": 59_477, "train": 54_468}
    assert not (tmp_path / "raw").exists()


def test_made_files_are_read_back_as_the_counts_say(tmp_path, capsys):
    small = ("--groups", 4, "--actions", 2, "--frames", 8, "--quiet")
    code, out, _ = run(capsys, "synth-ntu", "--out", tmp_path / "raw", *small, "--json")
    facts = json.loads(out)
    assert (code, facts["clips"], len(list((tmp_path / "raw").glob("*.skeleton")))) == (0, 48, 48)
    _, out, _ = run(capsys, "prepare", "ntu", tmp_path / "raw", "--out", tmp_path / "store", "--quiet", "--json")
    assert json.loads(out)["splits"] == facts["splits"]["without_missing"]["xsub"]
    assert run(capsys, "synth-ntu", "--out", tmp_path / "raw", *small)[0] == 2
    code, out, _ = run(capsys, "synth-ntu", "--out", tmp_path / "raw", *small, "--force")
    assert (code, "xview  train / test  32 / 16" in out) == (0, True)


@pytest.mark.parametrize(("flag", "value"), [("--classes", 61), ("--frames", 2), ("--odd", 1.5), ("--groups", -1)])
def test_values_outside_the_data_set_are_usage_errors(tmp_path, capsys, flag, value):
    assert run(capsys, "synth-ntu", "--out", tmp_path / "raw", flag, value)[0] == 2
    assert not (tmp_path / "raw").exists()


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ntu") / "raw"
    sizes = ("--classes", "120", "--groups", "4", "--actions", "1", "--frames", "8", "--quiet")
    assert main(["data", "synth-ntu", "--out", str(folder), *sizes]) == 0
    return folder


@pytest.mark.parametrize(("theirs", "ours"), PREPARATIONS)
def test_each_preparation_of_the_page_makes_the_store_that_training_looks_for(capsys, raw, theirs, ours):
    asked = dict(zip(*[iter(shlex.split(theirs))] * 2, strict=True))
    arguments = shlex.split(ours.replace("FOLDER", str(raw)))
    out = Path(arguments[arguments.index("--out") + 1])
    assert out == store_path(asked["--dataset"], asked.get("--split_type"), Path("data"))
    code, shown, _ = run(capsys, *arguments, "--dry-run", "--quiet", "--json")
    assert (code, json.loads(shown)["classes"]) == (0, int(asked["--dataset"].removeprefix("ntu")))
    assert ("--limit" in arguments) == ("--max_samples" in asked)


def test_the_page_prepares_every_protocol():
    pairs = {tuple(shlex.split(theirs)[1::2]) for theirs, _ in PREPARATIONS if "--split_type" in theirs}
    assert pairs == {(dataset, protocol) for dataset, protocols in PROTOCOLS.items() for protocol in protocols}
