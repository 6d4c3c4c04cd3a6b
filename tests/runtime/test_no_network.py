"""Nothing contacts anybody: a run over a video, in a network of its own, tries to reach no address."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from last_edge.errors import MissingError
from last_edge.runtime.landmarks import By
from last_edge.runtime.landmarks.models import model_path

ALONE = ["unshare", "--map-root-user", "--net"]
INTERNET = re.compile(r"\b(?:connect|sendto|sendmsg|sendmmsg)\(.*sa_family=AF_INET6?\b")


def may_watch() -> bool:
    """Whether processes may have a network of their own here and be traced."""
    if not all(map(shutil.which, ("unshare", "strace"))):
        return False
    return (
        subprocess.run([*ALONE, "strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0
    )


def attempts(command: list[str], log: Path) -> tuple[list[str], int]:
    """What a program and its children tried to reach over IP, and its exit code."""
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    done = subprocess.run(
        [*ALONE, "strace", "-f", "-qq", "-e", calls, "-o", str(log), *command], capture_output=True, check=False
    )
    return [line for line in log.read_text().splitlines() if INTERNET.search(line)], done.returncode


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two seconds of noise: every network is loaded and run, and what reports now and then has its time."""
    import cv2

    path = tmp_path / "noise.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (320, 240))
    drawn = np.random.default_rng(0)
    for _ in range(60):
        writer.write(drawn.integers(0, 255, (240, 320, 3), np.uint8))
    writer.release()
    return path


def test_onnx_runtime_is_told_to_report_nothing_before_it_starts() -> None:
    program = "import last_edge, os, sys; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["1", "False"]


watched = pytest.mark.skipif(not may_watch(), reason="no network namespaces or no strace here")


@watched
def test_the_watch_sees_an_attempt(tmp_path: Path) -> None:
    program = "import socket\ntry:\n socket.create_connection(('192.0.2.1', 80), 1)\nexcept OSError: pass"
    found, code = attempts([sys.executable, "-c", program], tmp_path / "log")
    assert len(found) == 1 and "192.0.2.1" in found[0] and code == 0


@watched
@pytest.mark.slow
@pytest.mark.parametrize("library", ["litert", "mediapipe"])
def test_a_run_over_a_video_reaches_out_to_nobody(library: By, video: Path, tmp_path: Path) -> None:
    pytest.importorskip({"litert": "ai_edge_litert", "mediapipe": "mediapipe"}[library])
    try:
        model_path("hand")
    except MissingError as error:
        pytest.skip(str(error))
    events = tmp_path / "events.jsonl"
    words = [
        "run",
        "last_lite_nano_shrec14",
        "--source",
        str(video),
        "--landmarks-by",
        library,
        "--no-window",
        "--pace",
        "real",
    ]
    command = [sys.executable, "-m", "last_edge.tools.cli", *words, "--events", str(events)]
    found, code = attempts(command, tmp_path / "log")
    assert found == []
    assert code == 0 and '"type": "summary"' in events.read_text()
