"""docs/quickstart.md as a newcomer walks it: the wheel alone in a fresh environment, recordings of somebody's gestures
in the place of the synthetic ones, and a real MQTT broker that the events arrive at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import writing_store
from last_edge.skeleton import SkeletonClip, get_layout
from tests.pages import ROOT, shell
from tests.runtime.test_deliver import broker, wait_for  # noqa: F401

HAND = get_layout("mediapipe_hand21")
TAKES = 10
SECTIONS = ("Own gestures in five minutes", "Without a camera", "Events somewhere")
SIGNS = "last-edge data synth"
BROKER = "127.0.0.1:1883"
PAGE = "docs/quickstart.md"


def test_the_page_has_the_commands_that_the_walk_takes() -> None:
    lines = [line for section in SECTIONS for line in shell(PAGE, section)]
    assert sum("pip install '.[" in line for line in lines) == 1
    assert sum(line.startswith(SIGNS) and line.endswith("--out signs") for line in lines) == 1
    assert any(line.startswith("last-edge teach lamp --store signs") for line in lines)
    assert sum(f"mqtt://{BROKER}/lamp" in line for line in lines) == 1


def write_recordings(source: Path, out: Path) -> tuple[str, ...]:
    """The first ten takes of each of five gestures of one recorder, of the hand that each shows more; the gestures."""
    with np.load(source) as recorded:
        hands, labels = [recorded[name] for name in ("left_hand", "right_hand")], recorded["labels"].astype(str)
        starts = np.concatenate([[0], np.cumsum(recorded["lengths"])])
    with writing_store(out, layout=HAND, units="image01", about={"licence": "none"}) as writer:
        for label in sorted(set(labels.tolist())):
            for number in np.flatnonzero(labels == label)[:TAKES].tolist():
                both = [np.asarray(hand[starts[number] : starts[number + 1]], np.float32) for hand in hands]
                points = max(both, key=lambda hand: int((~np.isnan(hand[..., 0])).sum()))
                writer.add(SkeletonClip.from_points(
                    points[None], layout=HAND, fps=30.0, units="image01", label=label, subject="somebody",
                    source_id=f"{label}/{number:03d}", split="train",
                ))  # fmt: skip
    return tuple(sorted(set(labels.tolist())))


@pytest.mark.slow
def test_the_page_is_walked_from_the_wheel_and_events_arrive(
    tmp_path: Path,
    real: Callable[[str], Path],
    broker: int,  # noqa: F811
) -> None:
    client = pytest.importorskip("paho.mqtt.client")
    gestures = write_recordings(real("webcam") / "gestures" / "g_drive_b.npz", tmp_path / "signs")
    wheels = tmp_path / "wheels"
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, ROOT], check=True)
    (wheel,) = wheels.glob("last_edge-*.whl")
    lines = [line for section in SECTIONS for line in shell(PAGE, section) if not line.startswith(SIGNS)]
    walk = "\n".join(lines).replace("'.[", f"'{wheel}[").replace(BROKER, f"127.0.0.1:{broker}")

    got, ready = [], threading.Event()
    reader = client.Client(client.CallbackAPIVersion.VERSION2)
    reader.on_message = lambda _, __, message: got.append(json.loads(message.payload))
    reader.on_subscribe = lambda *_: ready.set()
    reader.connect("127.0.0.1", broker)
    reader.subscribe("lamp", qos=1)
    reader.loop_start()
    assert ready.wait(20)
    free = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(["bash", "-ec", walk], cwd=tmp_path, env=free, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    printed = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"') and '"label"' in line]
    assert len(printed) >= len(gestures) and {event["label"] for event in printed} <= set(gestures)
    wait_for(lambda: len(got) >= len(printed))
    reader.disconnect()
    reader.loop_stop()
    assert [event["label"] for event in got] == [event["label"] for event in printed]
    assert "takes right" in done.stdout and "false events an hour" in done.stdout
