"""The whole pipeline at the command line on a sensor nobody has heard of: npz and layout in, events and report out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.tools.cli import main

LAYOUT = {
    "name": "glove",
    "names": ["palm", "thumb", "index", "middle"],
    "parents": [0, 0, 0, 0],
    "centre": [0],
    "scale": [[0], [3]],
}
FAST = [
    "--set",
    "input.frames=16",
    "--set",
    "training.batch_size=16",
    "--set",
    "training.amp=off",
    "--set",
    "training.ema_decay=0.9",
    "--threads",
    "1",
]
TRAIN = [*FAST, "--recipe", "demo", "--set", "training.epochs=40"]


def recordings(folder: Path) -> Path:
    """90 clips of three finger motions by six people; two of them for the test."""
    random = np.random.default_rng(0)
    frames, lengths, labels, subjects, split = [], [], [], [], []
    for number in range(90):
        length, label, subject = int(random.integers(12, 25)), number % 3, number % 6
        points = np.tile(np.array([[0, 0, 0], [-1, 0, 0], [0, 1, 0], [0.5, 1, 0]], np.float32), (length, 1, 1))
        points[:, label + 1, 2] += np.sin(np.linspace(0, 2 * np.pi, length))
        frames.append(points + random.normal(0, 0.05, points.shape) + random.normal(0, 1, 3))
        lengths.append(length)
        labels.append(("thumb", "index", "middle")[label])
        subjects.append(f"p{subject}")
        split.append("test" if subject > 3 else "train")
    frames[0][2:4, 1] = np.nan
    folder.mkdir()
    values = {"lengths": lengths, "labels": labels, "subjects": subjects, "split": split}
    np.savez(folder / "all.npz", frames=np.concatenate(frames).astype(np.float32), **values)
    (folder / "glove.json").write_text(json.dumps(LAYOUT))
    return folder


def last_edge(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    """Run a command, check its exit code, return what it printed on stdout."""
    got = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert got == code, captured.err
    return captured.out


def test_from_recordings_to_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, store, bundle = recordings(tmp_path / "mine"), tmp_path / "store", tmp_path / "bundle"
    teacher, student = tmp_path / "runs" / "teacher", tmp_path / "runs" / "student"
    layout = ["--layout", source / "glove.json", "--units", "metres"]
    last_edge(capsys, "data", "prepare", "npz", source, "--out", store, *layout)
    facts = json.loads(last_edge(capsys, "data", "info", store, "--verify", "--json"))
    assert facts["clips"] == 90
    last_edge(capsys, "train", "--store", store, "--out", teacher, *TRAIN, "--quiet")
    last_edge(capsys, "distill", "--teacher", teacher, "--model", "last_lite_nano", "--store", store, "--out", student,
              *TRAIN, "--quiet")  # fmt: skip
    last_edge(capsys, "export", student, "--out", bundle, "--store", store)
    last_edge(capsys, "quantize", bundle, "--store", store, "--set", "quantize.min_speedup=0")
    figures: dict[str, Any] = {
        precision: json.loads(last_edge(capsys, "eval", bundle, "--store", store, "--precision", precision, "--json"))
        for precision in ("fp32", "int8")
    }
    trained = json.loads(last_edge(capsys, "eval", student, "--store", store, "--json"))
    assert trained["top1"] >= 80.0 and trained["n"] == 30
    assert figures["fp32"]["confusion"] == trained["confusion"]
    assert abs(figures["int8"]["top1"] - trained["top1"]) <= 10.0
    last_edge(capsys, "parity", bundle, "--store", store, "--run", student)
    last_edge(capsys, "verify", bundle, "--store", store)
    events = tmp_path / "events.jsonl"
    last_edge(capsys, "run", bundle, "--source", f"store:{store}#0", "--no-window", "--events", events)
    kinds = [json.loads(line)["type"] for line in events.read_text().splitlines()]
    assert kinds[-1] == "summary" and kinds.count("frame") > 0
    benched = json.loads(last_edge(capsys, "bench", bundle, "--repeats", 1, "--calls", 5, "--json"))
    assert {row["precision"] for row in benched} == {"fp32", "int8"}
    report = tmp_path / "report.html"
    last_edge(capsys, "report", tmp_path / "runs", bundle, "--out", report)
    assert "INT8" in report.read_text().upper() and report.with_suffix(".md").exists()
