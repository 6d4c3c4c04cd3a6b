"""What `make board-check` plans, compares and writes; the check itself needs an emulator and is slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from last_edge import __version__, machine
from last_edge.bundle import Bundle
from last_edge.bundle.zoo import zoo
from last_edge.clips import ClipStore, writing_store
from last_edge.errors import InputError, MissingError, UsageError
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools.boards import answer, root
from last_edge.tools.boards.check import Answers, Question, ask, differences, page, remembered, same_events, some_clips
from last_edge.tools.boards.root import Root

EVENT = {"label": "tap", "start_s": 0.5, "end_s": 1.5, "score": 0.91}
HERE = Answers(
    checks={"a": 0},
    right={"a": {"fp32": 110, "int8": 109}},
    events={"a": {"wave": [EVENT], "rest": []}},
    sites={"a": 33},
    memory_mb={"a": {"fp32": 61.2, "int8": 60.4}},
    doctor={"model": "PC", "onnxruntime": "1.28"},
)


def test_a_dry_run_names_every_step_and_writes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "last_edge.tools.boards.check", "--dry-run", "--root", str(tmp_path / "arm64")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for part in ("mmdebstrap --arch=arm64", "last-edge[runtime-lite]", "cortex-a72: doctor, verify", "cortex-a76",
                 "last_lite_nano_shrec14", "write docs/results/boards.md"):  # fmt: skip
        assert part in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_comes_with_what_brings_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(root.shutil, "which", lambda tool: None if tool == "mmdebstrap" else tool)
    monkeypatch.setattr(root, "BINFMT", tmp_path / "absent")
    monkeypatch.setattr(root.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    lacking = root.missing()
    assert lacking[0] == "mmdebstrap: apt-get install mmdebstrap" and "sudo make board-check" in lacking[-1]
    with pytest.raises(MissingError, match="cannot emulate a board"):
        Root(tmp_path / "arm64").build()
    monkeypatch.setattr(root.platform, "machine", lambda: "aarch64")
    assert not any("binfmt" in text for text in root.missing())


def test_a_folder_that_holds_something_else_is_not_built_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(root, "missing", list)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a system that was made whole"):
        Root(tmp_path).build()
    assert Root(tmp_path).build_commands() != []
    (tmp_path / root.BUILT).write_text("")
    assert Root(tmp_path).build_commands() == []


def test_a_command_that_fails_on_the_board_is_told_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **how: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 5, "", "line\nerror: no model\n")

    monkeypatch.setattr(root.subprocess, "run", run)
    with pytest.raises(InputError, match="no model") as caught:
        Root(tmp_path).run("cortex-a72", ["last-edge", "doctor"])
    assert caught.value.where == "cortex-a72: last-edge doctor"
    assert asked[0][:3] == ["unshare", "--mount", "--net"]  # its own mounts, and no network at all


def test_sizes_leave_pips_own_out(tmp_path: Path) -> None:
    packages = tmp_path / "opt/edge/lib/python3.11/site-packages"
    for name, size in (("numpy/core.so", 70), ("pip/big.py", 1000), ("setuptools/x.py", 500), ("typer.py", 3)):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_bytes(bytes(size))
    assert Root(tmp_path).size_of_install() == 73


@pytest.mark.parametrize(
    ("change", "same"),
    [({}, True), ({"end_s": 1.57, "score": 0.88}, True), ({"label": "pinch"}, False), ({"end_s": 1.7}, False),
     ({"score": 0.8}, False)],
)  # fmt: skip
def test_events_are_the_same_up_to_a_moment_and_a_little_probability(change: dict[str, object], same: bool) -> None:
    assert same_events([EVENT], [EVENT | change]) is same
    assert not same_events([EVENT], [])


def test_a_board_may_answer_two_int8_clips_otherwise_and_no_fp32_clip() -> None:
    assert differences(HERE, replace(HERE, right={"a": {"fp32": 110, "int8": 107}})) == []
    told = differences(
        HERE,
        replace(HERE, checks={"a": 2}, right={"a": {"fp32": 109, "int8": 106}}, events={"a": {"wave": [], "rest": []}}),
    )
    clips = ["a, fp32: 109 clips right, here 110", "a, int8: 106 clips right, here 109"]
    assert told == ["a: 2 checks fail, here 0", *clips, "a, wave: events none, here tap 1.5 s 91%"]


def test_the_page_holds_every_answer_and_no_speed() -> None:
    board = replace(HERE, doctor={"model": "4 × Cortex-A72"}, right={"a": {"fp32": 110, "int8": 108}})
    text = page(HERE, {"cortex-a72": board}, about={"installed": "last_edge.whl[runtime-lite]"})
    assert "| a | clips right, int8 | 109 | 108 |" in text and "tap 1.5 s 91%" in text
    assert "4 × Cortex-A72" in text and "cortex-a72 (Raspberry Pi 4, ARMv8.0): the same answers." in text
    assert " ms" not in text


def test_each_bundle_is_asked_in_one_go_and_one_of_each_layout_runs_on_the_videos() -> None:
    asked: list[list[list[str]]] = []
    said = {
        "doctor": {"checks": [{"group": "Packages", "name": "numpy", "found": "2.4", "ok": True}]},
        "verify": {"rows": [{"holds": True}, {"holds": False}]},
        "bench": [{"precision": "fp32", "rss_mb": 60.0}, {"precision": "int8", "rss_mb": 50.0}],
        "web": {"files": 33},
        "eval": {"top1": 75.0, "n": 12},
        "run": EVENT,
    }

    def cli(commands: Sequence[Sequence[str]]) -> list[str]:
        asked.append([list(command) for command in commands])
        return [json.dumps(said[command[0]]) for command in commands]

    found = ask(
        cli, {"a": "/a", "b": "/b"}, {"a": "/store"}, clips={"wave": "/wave.mp4"}, run=["b"], frames=9, scratch="/s"
    )
    assert [[command[0] for command in batch] for batch in asked] == [
        ["doctor"], ["verify", "web", "eval", "eval"], ["verify", "web", "bench", "run"]
    ]  # fmt: skip
    assert asked[2][3][:5] == ["run", "/b", "--source", "/wave.mp4", "--landmarks-by"] and "9" in asked[2][3]
    assert found.checks == {"a": 1, "b": 1} and found.right == {"a": {"fp32": 9, "int8": 9}, "b": {}}
    assert found.events == {"a": {}, "b": {"wave": [EVENT]}} and found.memory_mb == {"b": {"fp32": 60.0, "int8": 50.0}}
    question = Question(zoo(), [], [], 1, 1)
    layouts = [Bundle.open(zoo()[name]).manifest.input.layout.name for name in question.runs]
    assert sorted(layouts) == sorted({Bundle.open(path).manifest.input.layout.name for path in zoo().values()})


def test_an_answer_is_asked_for_once(tmp_path: Path) -> None:
    asked = []

    def cli(commands: Sequence[Sequence[str]]) -> list[str]:
        asked.append(commands)
        return ["answer"]

    for about in ("cortex-a72 1", "cortex-a72 1", "cortex-a72 2"):
        assert remembered(cli, tmp_path / "kept", about=about)([["doctor"]]) == ["answer"]
    assert len(asked) == 2


def test_several_commands_in_one_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["answer", json.dumps([["--version"], ["zoo", "ls", "--json"]])])
    assert answer.main() == 0
    version, names = json.loads(capsys.readouterr().out)
    assert version.strip() == __version__ and len(json.loads(names)) == len(zoo())
    monkeypatch.setattr(sys, "argv", ["answer", json.dumps([["zoo", "nothing"]])])
    assert answer.main() == 2
    assert "zoo nothing ends with exit code 2" in capsys.readouterr().err


def test_clips_are_drawn_evenly_from_the_test_split(tmp_path: Path) -> None:
    layout = get_layout("mediapipe_hand21")
    with writing_store(tmp_path / "all", layout=layout, units="image01") as writer:
        for number in range(40):
            points = np.full((1, 4, 21, 3), number, np.float32)
            split = "train" if number % 2 else "test"
            clip = SkeletonClip.from_points(points, layout=layout, fps=30.0, units="image01", label=f"{number % 4}",
                                            split=split, source_id=f"{number}")  # fmt: skip
            writer.add(clip)
    some_clips(ClipStore.open(tmp_path / "all"), tmp_path / "some", 5)
    some = ClipStore.open(tmp_path / "some")
    assert some.index.source_id.tolist() == ["0", "8", "16", "24", "32"] and some.labels == ("0", "1", "2", "3")


@pytest.mark.slow
@pytest.mark.skipif(bool(root.missing()), reason="no emulator here")
@pytest.mark.skipif("LAST_EDGE_ARM64" not in os.environ, reason="LAST_EDGE_ARM64 names no arm64 system")
@pytest.mark.parametrize(("processor", "dots"), [("cortex-a72", False), ("cortex-a76", True)])
def test_the_doctor_on_a_board_sees_its_own_instructions(processor: str, dots: bool) -> None:
    system = Root(Path(os.environ["LAST_EDGE_ARM64"]))
    system.put(Path(machine.__file__), "machine.py")
    program = "import sys; sys.path.insert(0, '/data'); import machine; print(*sorted(machine.features()))"
    found = system.run(processor, ["python3", "-c", program]).split()
    assert "asimd" in found and ("asimddp" in found) is dots and "avx2" not in found
