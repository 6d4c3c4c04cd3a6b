"""What `make` would do, asked with --dry-run: which files a target stands on, and which commands it types."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def typed(*words: str) -> str:
    """Every command of a target, with nothing made yet."""
    line = ["make", "--dry-run", "--always-make", *words, "NAME=nothing_yet"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.replace("\\\n", " ")


def test_the_report_sees_the_student_that_was_taught_by_labels_alone() -> None:
    assert "--out runs/nothing_yet/student_alone" in typed("report")


def test_run_plays_the_clips_that_the_student_is_tested_on() -> None:
    assert "--source store:runs/nothing_yet/store" in typed("run")


def test_engine_builds_every_precision_and_quantises_for_int8_alone() -> None:
    words = typed("engine")
    assert "--target tensorrt" in words and all(f"--precision {name} " in words for name in ("int8", "fp16", "fp32"))
    words = typed("engine", "PRECISION=fp16")
    assert "--precision fp16 " in words and "--target tensorrt" not in words and "--precision int8" not in words
