"""What a run saves: the annotated video, the surest frame, the last seconds of points."""

from __future__ import annotations

import errno
import os
import shutil
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import MissingError, UsageError
from last_edge.files import fsync_path, writing
from last_edge.runtime.recognise.window import Points

SUFFIXES = (".jpg", ".png")
CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".webm": "VP80"}
CHECK_EVERY, LEAST_FREE = 30, 16 * 2**20
KEPT_S = 4.0


class Snapshot:
    """Takes every drawn frame, keeps the surest and writes it at the end; `UsageError` for an unknown suffix."""

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError("cannot save a picture of this kind", where=path, expected=" or ".join(SUFFIXES))
        self._path = path
        self._best: tuple[float, NDArray[np.uint8]] | None = None

    def offer(self, image: NDArray[np.uint8], probability: float) -> None:
        """Consider one drawn (H, W, 3) frame; 0 stands for a frame without a prediction."""
        if self._best is None or probability > self._best[0]:
            self._best = probability, image

    def finish(self) -> None:
        """Write the kept frame; nothing when none came."""
        import cv2

        if self._best is not None:
            _, content = cv2.imencode(self._path.suffix.lower(), self._best[1])
            with writing(self._path) as stream:
                stream.write(content.tobytes())


class VideoWriter:
    """Opens with the first frame, whose size all others must have.

    Raises `UsageError` for an unknown suffix, `MissingError` when this OpenCV cannot encode it, `OSError` when the disk
    is full, of which OpenCV says nothing: the last 16 MB are left free.
    """

    def __init__(self, path: Path, *, fps: float) -> None:
        if path.suffix.lower() not in CODECS:
            raise UsageError("cannot save a video of this kind", where=path, expected=" or ".join(CODECS))
        self._path, self._fps = path, fps
        self._partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self._writer: Any | None = None
        self._written = 0

    def write(self, image: NDArray[np.uint8]) -> None:
        """Append one (H, W, 3) frame."""
        if self._writer is None:
            import cv2

            self._path.parent.mkdir(parents=True, exist_ok=True)
            codec = CODECS[self._path.suffix.lower()]
            kind = cv2.VideoWriter.fourcc(*codec)
            writer = cv2.VideoWriter(str(self._partial), kind, self._fps, (image.shape[1], image.shape[0]))
            if not writer.isOpened():
                self._partial.unlink(missing_ok=True)
                raise MissingError(f"this OpenCV cannot encode {codec}", where=self._path, hint="--save FILE.avi")
            self._writer = writer
        if self._written % CHECK_EVERY == 0 and shutil.disk_usage(self._path.parent).free < LEAST_FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._writer.write(image)
        self._written += 1

    def finish(self) -> None:
        """Close the file and give it its name; nothing appears when no frame came."""
        if self._writer is None:
            return
        self._writer.release()
        fsync_path(self._partial)
        self._partial.replace(self._path)

    def discard(self) -> None:
        """Close and remove what was written."""
        if self._writer is not None:
            self._writer.release()
        self._partial.unlink(missing_ok=True)


class ClipKeeper:
    """units: of the points. folder: where clips go; the first is `clip-001.npz`, and none is replaced."""

    def __init__(self, folder: Path, *, units: str) -> None:
        self._folder, self._units = folder, units
        self._frames: deque[tuple[float, Points]] = deque()

    def take(self, points: Points, time_s: float) -> None:
        """Add a frame's points (M, V, C); those of more than four seconds ago are forgotten."""
        self._frames.append((time_s, points))
        while time_s - self._frames[0][0] > KEPT_S:
            self._frames.popleft()

    def save(self) -> str:
        """Write what is kept, unlabelled, at its mean frame rate; says where, or why not."""
        if len(self._frames) < 2:
            return "nothing to save yet"
        seconds = self._frames[-1][0] - self._frames[0][0]
        path = free_name(self._folder, "clip", ".npz")
        with writing(path) as stream:
            np.savez(
                stream, frames=np.stack([points for _, points in self._frames]), lengths=np.array([len(self._frames)]),
                fps=np.array((len(self._frames) - 1) / seconds), units=np.array(self._units),
            )  # fmt: skip
        return f"saved {path.name}, {seconds:.1f} s"


def free_name(folder: Path, stem: str, suffix: str) -> Path:
    """The first of `stem-001`, `stem-002`, … that is not there."""
    number = 1
    while (path := folder / f"{stem}-{number:03d}{suffix}").exists():
        number += 1
    return path
