"""A board's own camera without OpenCV's GStreamer: a program writes images into a pipe."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from last_edge.errors import MissingError, UsageError
from last_edge.runtime.sources import ImageOptions, csi, live, open_source
from last_edge.runtime.sources.csi import camera_program
from last_edge.skeleton import get_layout

HAND = get_layout("mediapipe_hand21")
WRITER = """#!{python}
import sys
words = dict(zip(sys.argv, sys.argv[1:]))
size = int(words["--width"]) * int(words["--height"]) * 3 // 2
for level in (40, 120, 200):
    sys.stdout.buffer.write(bytes([level]) * (size * 2 // 3) + bytes([128]) * (size // 3))
sys.stdout.buffer.write(b"half an image")
"""


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of programs that is searched; no GStreamer in OpenCV; a camera that is not tried again."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(csi, "has_gstreamer", lambda: False)
    monkeypatch.setattr(live, "JETSON", tmp_path / "absent")
    monkeypatch.setattr(live, "BACK_OFF_S", ())
    return tmp_path


def test_a_pis_program_gives_images_until_it_ends(pi: Path) -> None:
    (pi / "rpicam-vid").write_text(WRITER.format(python=sys.executable))
    (pi / "rpicam-vid").chmod(0o755)
    source = open_source("csi:0,64x48,30", layout=HAND)
    assert source.live and source.describe() == "csi:0 gives 64x48 at 30 frames a second"
    frames = list(source)
    # The first image proves that the camera works; half an image is none.
    assert [frame.image.shape for frame in frames if frame.image is not None] == [(48, 64, 3)] * 2
    levels = [float(np.mean(frame.image)) for frame in frames if frame.image is not None]
    assert levels[0] < 140 < levels[1]
    source.close()


def test_a_program_without_images_is_told(pi: Path) -> None:
    (pi / "libcamera-vid").write_text("#!/bin/sh\nexit 1\n")
    (pi / "libcamera-vid").chmod(0o755)
    with pytest.raises(MissingError, match="gives no images") as caught:
        open_source("csi:1,vga", layout=HAND)
    assert "--camera 1" in str(caught.value.got) and "--width 640 --height 480" in str(caught.value.got)


def test_without_any_program_the_way_on_is_told(pi: Path) -> None:
    with pytest.raises(MissingError, match="nothing here reads a board's camera") as caught:
        open_source("csi:0", layout=HAND)
    assert "rpicam-apps" in str(caught.value.hint)


def test_a_jetson_reads_by_its_own_element(pi: Path) -> None:
    for name in ("gst-launch-1.0", "rpicam-vid"):
        (pi / name).write_text("#!/bin/sh\n")
        (pi / name).chmod(0o755)
    jetson = camera_program(1, 640, 480, 30.0, jetson=True)
    assert jetson is not None and jetson.coding == "bgr" and jetson.frame_bytes == 640 * 480 * 3
    words = " ".join(jetson.command)
    assert "nvarguscamerasrc sensor-id=1" in words and words.endswith("width=640,height=480 ! fdsink fd=1")
    pi_program = camera_program(0, 640, 480, 30.0, jetson=False)
    assert pi_program is not None and pi_program.frame_bytes == 640 * 480 * 3 // 2


def test_sizes_have_names(pi: Path) -> None:
    for name, size in live.SIZES.items():
        assert csi.csi_asked(f"0,{name}", ImageOptions())[1:3] == size
    assert csi.csi_asked("0,vga,15", ImageOptions()) == (0, 640, 480, 15.0)
    with pytest.raises(UsageError, match="named by its number") as caught:
        open_source("csi:0,huge", layout=HAND)
    assert "qvga, vga, hd" in str(caught.value.expected)
