"""SIGKILL at a random moment: what was there before is whole, so is what is there after, and the command can go on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from last_edge.bundle import Bundle, is_bundle
from last_edge.clips.store import ClipStore
from last_edge.tools.teach.options import FILE, State
from last_edge.train.checkpoint import load_checkpoint
from tests.tools.teach.test_teach import GESTURES, store_of, take

KILLS = int(os.environ.get("LAST_EDGE_KILLS", "3"))
"""Kills a command."""
HERE = Path(__file__).parents[2]
RECIPE = ["--recipe", "demo", "--set", "training.epochs=2", "--set", "input.frames=16", "--threads", "1"]
LENIENT = [word for limit in ("max_drop=100", "min_agreement=0", "max_class_drop=100", "max_bytes_per_param=9",
                              "min_speedup=0") for word in ("--set", f"quantize.{limit}")]  # fmt: skip
Check = Callable[[Path], object]
pytestmark = pytest.mark.slow


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "last_edge.tools.cli", *words, "--quiet"]


def finish(words: list[str], folder: Path) -> float:
    """Run to the end, which is to be a good one, or was before the kill came; seconds that it took."""
    began = time.monotonic()
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 or "this run is finished" in done.stderr, done.stderr
    return time.monotonic() - began


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}


def kill_at(words: list[str], folder: Path, seconds: float) -> bool:
    """Start a command and kill it, with all that it started, so many seconds later; False where it was done before."""
    process = subprocess.Popen(
        words, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def whole_store(path: Path) -> object:
    ClipStore.open(path).verify()
    return len(ClipStore.open(path))


def whole_bundle(path: Path) -> object:
    return Bundle.open(path).precisions


def whole_run(path: Path) -> object:
    return load_checkpoint(path).path.name if (path / "run.json").exists() else None


def whole_teaching(path: Path) -> object:
    """What was reached of a teaching is whole; of a finished one the figures of takes left out and the FP32 graph."""
    if (path / FILE).exists():
        State(path)
    for store in path.glob("*/store.json"):
        whole_store(store.parent)
    whole_run(path / "run")
    if not is_bundle(path / "bundle"):
        return None
    manifest = Bundle.open(path / "bundle").manifest
    return manifest.held_out, manifest.precisions, manifest.files["model.fp32.onnx"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, toy_store: Path) -> Path:
    """A store, a folder of recordings, takes of gestures, a run and its bundle."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(toy_store, folder / "store")
    (folder / "rec").mkdir()
    for person in range(1, 4):
        split = ["train"] * 20 if person < 3 else ["test"] * 20
        points = np.random.default_rng(person).normal(size=(400, 22, 3)).astype(np.float32)
        np.savez(folder / "rec" / f"{person}.npz", frames=points, lengths=[20] * 20, labels=["a", "b"] * 10,
                 subjects=[str(person)] * 20, split=split)  # fmt: skip
    store_of(folder / "takes", [take(gesture, number) for gesture in GESTURES for number in range(3)])
    finish(command("train", "--model", "last_lite_nano", "--store", "store", "--out", "run", *RECIPE), folder)
    finish(command("export", "run", "--out", "bundle", "--store", "store"), folder)
    return folder


CASES: dict[str, tuple[list[str], str, Check]] = {
    "prepare": (["data", "prepare", "npz", "rec", "--layout", "shrec22", "--units", "metres", "--out", "out",
                 "--force"], "out", whole_store),
    "train": (["train", "--model", "last_lite_nano", "--store", "store", "--out", "out", *RECIPE], "out", whole_run),
    "distill": (["distill", "--teacher", "run", "--model", "last_lite_nano", "--store", "store", "--out", "out",
                 "--recipe", "demo_kd", *RECIPE[2:]], "out", whole_run),
    "export": (["export", "run", "--out", "out", "--store", "store", "--force"], "out", whole_bundle),
    "quantize": (["quantize", "out", "--store", "store", *LENIENT, "--force"], "out", whole_bundle),
    "record": (["record", "out", "--label", "wave", "--source", "store:store#3", "--subject", "me"], "out",
               whole_store),
    "teach": (["teach", "out", *GESTURES, "--store", "takes", "--base", "last_lite_nano_live14", "--epochs", "1",
               "--workers", "1"], "out", whole_teaching),
}  # fmt: skip
FRESH = ("train", "distill", "teach")
"""Commands that go on with what they began: they begin with nothing at every kill."""


@pytest.mark.parametrize("name", CASES)
def test_a_kill_loses_nothing_and_leaves_nothing_half_written(name: str, made: Path, tmp_path: Path) -> None:
    words, out, check = CASES[name]
    folder = tmp_path / "work"
    shutil.copytree(made, folder)
    if name == "quantize":
        shutil.copytree(folder / "bundle", folder / "out")
    seconds = finish(command(*words), folder)
    before = check(folder / out)
    moments, kills = random.Random(name), 0
    while kills < KILLS:
        if name in FRESH:
            shutil.rmtree(folder / out, ignore_errors=True)
        kills += kill_at(command(*words), folder, moments.uniform(0.2, 1.1) * seconds)
        if name not in FRESH:
            assert check(folder / out), "the older artefact, or the new one"
        elif (folder / out).exists():
            check(folder / out)
        finish(command(*words), folder)
        assert check(folder / out) == before or name == "record"
        left = [path.name for path in folder.iterdir() if path.name.endswith((".partial", ".old"))]
        assert left == []


def test_of_two_quantize_at_once_one_waits_or_is_told(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    shutil.copytree(made, folder)
    words = command(*CASES["quantize"][0][:1], "bundle", *CASES["quantize"][0][2:])
    both = [
        subprocess.Popen(words, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    codes = sorted(process.wait(600) for process in both)
    assert codes[0] == 0 and codes[1] in (0, 2)
    assert Bundle.open(folder / "bundle").precisions == ("fp32", "int8") and is_bundle(folder / "bundle")
