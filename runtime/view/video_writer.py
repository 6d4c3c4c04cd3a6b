"""Writing the annotated frames as a video that appears under its name only when it is whole."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import MissingError, UsageError
from last_edge.files import fsync_path

CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".webm": "VP80"}
CHECK_EVERY, LEAST_FREE = 30, 16 * 2**20


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
            self._writer = self._open(image.shape[1], image.shape[0])
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

    def _open(self, width: int, height: int) -> Any:
        import cv2

        self._path.parent.mkdir(parents=True, exist_ok=True)
        codec = CODECS[self._path.suffix.lower()]
        kind = cv2.VideoWriter.fourcc(*codec)
        writer = cv2.VideoWriter(str(self._partial), kind, self._fps, (width, height))
        if not writer.isOpened():
            self._partial.unlink(missing_ok=True)
            raise MissingError(f"this OpenCV cannot encode {codec}", where=self._path, hint="--save FILE.avi")
        return writer
