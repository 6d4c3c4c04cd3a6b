"""A folder that may not be written to: every command that writes says so with an exit code, and writes nothing."""

from __future__ import annotations

import ctypes
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips.store import ClipStore
from last_edge.data.readers.nslt import SPLITS
from last_edge.errors import EXIT_INPUT
from last_edge.tools import cli

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="rights are given up as Linux has it")
WRITE_ANYWHERE, READ_ANYWHERE = 1, 2
"""Capabilities: DAC_OVERRIDE and DAC_READ_SEARCH."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def bound_by_modes() -> Iterator[None]:
    """Root is held to the modes of files, as everybody is."""
    system, header, data = ctypes.CDLL(None), _Header(0x20080522, 0), (_Data * 2)()
    assert system.capget(ctypes.byref(header), data) == 0
    before = data[0].effective
    data[0].effective &= ~(1 << WRITE_ANYWHERE | 1 << READ_ANYWHERE)
    assert system.capset(ctypes.byref(header), data) == 0
    try:
        yield
    finally:
        data[0].effective = before
        system.capset(ctypes.byref(header), data)


@pytest.fixture
def locked(tmp_path: Path, exported: Path) -> Iterator[Path]:
    """A folder that holds recordings and a bundle, and takes nothing more."""
    folder = tmp_path / "locked"
    (folder / "rec").mkdir(parents=True)
    about = {"lengths": [9], "labels": ["a"], "subjects": ["1"], "split": ["train"]}
    np.savez(folder / "rec" / "clip.npz", frames=np.ones((9, 21, 3), np.float32), **about)  # type: ignore[arg-type]
    (folder / "rec" / "a.mp4").touch()
    rows = {f"{part}{label}": {"subset": part, "action": [label, 1, 30]} for part in SPLITS for label in (0, 1)}
    (folder / "nslt_2.json").write_text(json.dumps(rows))
    shutil.copytree(exported, folder / "bundle")
    for each in (folder, folder / "bundle", folder / "rec"):
        each.chmod(0o555)
    yield folder
    for each in (folder, folder / "bundle", folder / "rec"):
        each.chmod(0o755)


RUN = ["run", "bundle", "--source", "synthetic", "--limit", "5", "--no-window"]
TRAIN = ["--model", "last_lite_nano", "--recipe", "demo", "--store", "STORE", "--out", "new"]
OUT = ["--out", "new"]
COMMANDS: dict[str, list[str]] = {
    "train": ["train", *TRAIN],
    "distill": ["distill", *TRAIN, "--teacher", "RUN"],
    "pretrain": ["pretrain", "maskclr", *TRAIN],
    "folds": ["folds", *TRAIN],
    "seeds": ["seeds", "RUN", "--store", "STORE", "--out", "new.md"],
    "export": ["export", "RUN", *OUT],
    "quantize": ["quantize", "bundle", "--store", "STORE"],
    "samples": ["samples", "bundle", "--store", "STORE"],
    "parity": ["parity", "bundle", "--store", "STORE", "--out", "new.md"],
    "run --events": [*RUN, "--events", "new.jsonl"],
    "run --save": [*RUN, "--save", "new.avi"],
    "run --snapshot": [*RUN, "--snapshot", "new.png"],
    "record": ["record", "new", "--label", "a", "--source", "synthetic"],
    "teach": ["teach", "new", "a", "b"],
    "report": ["report", "bundle", "--out", "new.html"],
    "bench": ["bench", "bundle", "--out", "new.json"],
    "bench --share": ["bench", "bundle", "--share", "new.json"],
    "bench train": ["bench", "train", "--out", "new.md"],
    "bench formats": ["bench", "formats", "--out", "new.md"],
    "bench tune": ["bench", "tune", "bundle"],
    "bench live": ["bench", "live", "bundle", "--source", "synthetic", "--out", "new.md"],
    "bench soak": ["bench", "soak", "bundle", "--source", "synthetic", "--minutes", "1", "--out", "new.json"],
    "bench start": ["bench", "start", "bundle", "--out", "new.json"],
    "data prepare": ["data", "prepare", "npz", "rec", "--layout", "mediapipe_hand21", "--units", "image01", *OUT],
    "data synth": ["data", "synth", *OUT],
    "data synth-ntu": ["data", "synth-ntu", *OUT],
    "data augment-pool": ["data", "augment-pool", "STORE", *OUT],
    "data background": ["data", "background", "STORE", *OUT],
    "data convert": ["data", "convert", "STORE", "--bundle", "bundle", *OUT],
    "data join": ["data", "join", "STORE", *OUT],
    "data extract": ["data", "extract", "rec", *OUT],
    "data prepare videos": ["data", "prepare", "videos", "rec", *OUT],
    "data synth-nslt": ["data", "synth-nslt", "nslt_2.json", *OUT],
    "data compose": ["data", "compose", "STORE", *OUT],
    "fit-spans": ["fit-spans", "rec", "--store", "STORE"],
    "probe": ["probe", "RUN", "--store", "STORE", *OUT],
    "ablate": ["ablate", "--plan", "ablation_demo", "--store", "STORE", *OUT],
    "thresholds": ["thresholds", "bundle", "--store", "STORE", "--held-out", "1"],
    "engine": ["engine", "bundle", "--flavour", "tensorrt-rtx", "--precision", "fp32"],
    "web --export": ["web", "bundle", "--export", "new"],
    "service install": ["service", "install", "bundle", "--source", "synthetic"],
    "bench peers": ["bench", "peers", "--store", "STORE", *OUT],
    "models fetch": ["models", "fetch", "hand"],
    "zoo get": ["zoo", "get", "last_lite_nano_shrec14"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_may_not_write_says_so_and_leaves_nothing(
    name: str, locked: Path, run: Path, store: ClipStore, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(locked)
    for variable in ("LAST_EDGE_CACHE", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(locked / "new"))
    words = [{"STORE": str(store.path), "RUN": str(run)}.get(word, word) for word in COMMANDS[name]]
    before = sorted(locked.rglob("*"))
    with bound_by_modes():
        code = cli.main([*words, "--quiet"])
    told = capsys.readouterr().err
    assert code == EXIT_INPUT, told
    assert "cannot write here" in told and str(locked) in told
    assert sorted(locked.rglob("*")) == before
