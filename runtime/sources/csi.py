"""The camera at a board's own port: by OpenCV's GStreamer, else by a program of the board that writes raw images.

The OpenCV that pip brings has no GStreamer; `gst-launch-1.0` (any board) or `rpicam-vid` (Raspberry Pi) then give the
images through a pipe.
"""

import shutil
import subprocess
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import MissingError
from last_edge.runtime.sources import live
from last_edge.runtime.sources.base import ImageOptions, Source
from last_edge.runtime.sources.live import LiveSource, PipelineSource, csi_asked, csi_pipeline, has_gstreamer

PI_PROGRAMS = ("rpicam-vid", "libcamera-vid")
PATIENCE_S = 2.0


@dataclass(frozen=True)
class Program:
    """A command that writes images of one size to stdout, BGR or planar YUV 4:2:0."""

    command: tuple[str, ...]
    width: int
    height: int
    fps: float
    coding: Literal["bgr", "yuv420"]

    @property
    def frame_bytes(self) -> int:
        """Of one image."""
        return self.width * self.height * 3 // (1 if self.coding == "bgr" else 2)


def open_csi(text: str, images: ImageOptions) -> Source:
    """The camera `N`, `N,1280x720` or `N,vga,30` of a board's port.

    Raises `UsageError` for another form, `MissingError` where nothing here reads such a camera or it gives no image.
    """
    number, width, height, fps = csi_asked(text, images)
    if has_gstreamer():
        return PipelineSource.of_csi(text, images)
    program = camera_program(number, width, height, fps, jetson=live.JETSON.exists())
    if program is None:
        hint = "apt-get install gstreamer1.0-tools gstreamer1.0-libcamera, or rpicam-apps; a USB camera is cam:0"
        raise MissingError("nothing here reads a board's camera", where=f"csi:{number}",
                           expected="OpenCV with GStreamer, gst-launch-1.0 or rpicam-vid", hint=hint)  # fmt: skip
    return ProgramSource(f"csi:{number}", program, images)


def camera_program(number: int, width: int, height: int, fps: float, *, jetson: bool) -> Program | None:
    """What reads a board's camera here; None where neither program is installed."""
    pi = next(filter(None, map(shutil.which, PI_PROGRAMS)), None)
    if pi is not None and not jetson:
        words = ["--nopreview", "--timeout", "0", "--codec", "yuv420", "--camera", number, "--output", "-", "--flush"]
        size = ["--width", width, "--height", height, "--framerate", f"{fps:g}"]
        return Program((pi, *map(str, words), *map(str, size)), width, height, fps, "yuv420")
    gst = shutil.which("gst-launch-1.0")
    if gst is None:
        return None
    camera = csi_pipeline(number, f"width={width},height={height},framerate={fps:g}/1", jetson=jetson)
    to_pipe = camera.replace(live.SINK, f"video/x-raw,format=BGR,width={width},height={height} ! fdsink fd=1")
    return Program((gst, "--quiet", *to_pipe.split()), width, height, fps, "bgr")


class PipeCapture:
    """A program's images, read as `cv2.VideoCapture` is."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process = subprocess.Popen(program.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """The next whole image; (False, None) once the program has ended."""
        import cv2

        assert self._process.stdout is not None
        content = self._process.stdout.read(self.program.frame_bytes)
        if len(content) < self.program.frame_bytes:
            return False, None
        flat = np.frombuffer(content, np.uint8)
        if self.program.coding == "bgr":
            return True, flat.reshape(self.program.height, self.program.width, 3).copy()
        planes = flat.reshape(self.program.height * 3 // 2, self.program.width)
        return True, np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)

    def get(self, name: int) -> float:
        """What was asked for, by OpenCV's names of properties."""
        import cv2

        known = {cv2.CAP_PROP_FPS: self.program.fps, cv2.CAP_PROP_FRAME_WIDTH: float(self.program.width),
                 cv2.CAP_PROP_FRAME_HEIGHT: float(self.program.height)}  # fmt: skip
        return known.get(name, 0.0)

    def release(self) -> None:
        """End the program."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class ProgramSource(LiveSource):
    """Frames of a program that reads a camera; `MissingError` where it gives none."""

    def __init__(self, name: str, program: Program, images: ImageOptions) -> None:
        self._program = program
        capture = PipeCapture(program)
        decoded, _ = capture.read()
        if not decoded:
            capture.release()
            raise MissingError("this program gives no images of the board's camera", where=name,
                               got=" ".join(program.command), hint="try it by hand; is the cable in?")  # fmt: skip
        super().__init__(name, capture, images)

    def _open(self) -> Any | None:
        return PipeCapture(self._program)

    def describe(self) -> str:
        program = self._program
        return f"{self.name} gives {program.width}x{program.height} at {program.fps:g} frames a second"

    def interrupt(self) -> None:
        super().interrupt()
        self._capture.release()
