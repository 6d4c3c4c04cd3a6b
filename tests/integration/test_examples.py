"""Every example runs, on sources that need no camera."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(*words: object, **more: str) -> str:
    """What a program prints; it must end well."""
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**ENVIRONMENT, **more})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_live_gestures_names_what_to_try() -> None:
    said = run(EXAMPLES / "live_gestures.py", "last_lite_nano_shrec14", "synthetic", "200")
    assert said.startswith("try: grab, tap")
    assert all(re.fullmatch(r" *\d+\.\d\d s  [a-z +-]+  \d+%", line) for line in said.splitlines()[1:])


def test_slides_by_swipe_presses_nothing_when_dry() -> None:
    said = run(EXAMPLES / "slides_by_swipe.py", "--dry-run", "synthetic")
    assert set(said.split()) <= {"left", "right"}


def test_the_lamp_tells_the_broker(tmp_path: Path) -> None:
    """A stand-in for the camera gives one swipe; a socket that speaks as much MQTT as it takes hears of it."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=broker, args=(listener, heard))
    thread.start()
    (tmp_path / "sitecustomize.py").write_text(
        "import last_edge\n"
        "from last_edge.runtime.recognise.decoding import Event\n"
        "last_edge.Recogniser.watch = lambda self, source: iter([Event('swipe up', 0.9, 0.0, 1.0)])\n"
    )
    port = listener.getsockname()[1]
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    run(EXAMPLES / "mqtt_lamp.py", f"127.0.0.1:{port}", "lamp/set", PYTHONPATH=path)
    thread.join(timeout=10)
    listener.close()
    assert b"lamp/set" in b"".join(heard) and b'{"state": "ON"}' in b"".join(heard)


def broker(listener: socket.socket, heard: list[bytes]) -> None:
    """Accept one client, confirm its connection and each message (MQTT 3.1.1, sections 3.2 and 3.4)."""
    connection, _ = listener.accept()
    with connection:
        while received := connection.recv(4096):
            heard.append(received)
            if received[0] >> 4 == 1:
                connection.sendall(bytes([0x20, 2, 0, 0]))
            elif received[0] >> 4 == 3:
                topic = int.from_bytes(received[2:4])
                connection.sendall(bytes([0x40, 2, *received[4 + topic : 6 + topic]]))


@pytest.mark.parametrize("name", [path.name for path in sorted(EXAMPLES.glob("*.ipynb"))])
def test_notebooks_run_from_top_to_bottom(name: str, tmp_path: Path) -> None:
    """Their cells are plain Python, so they run as one program."""
    notebook = json.loads((EXAMPLES / name).read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells and all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")
    run("-c", "\n".join(cells), TMPDIR=str(tmp_path))
