"""A folder of images in the order of their names, as a video of thirty frames a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from last_edge.errors import InputError
from last_edge.runtime.sources.base import Frame, Source
from last_edge.runtime.sources.video import USUAL_FPS

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class ImageFolderSource(Source):
    """Every image that can be read; `notice` names those that cannot. `InputError` for a folder without images."""

    fps = USUAL_FPS

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self._paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        self.announced_frames = len(self._paths)
        if not self._paths:
            hint = f"--source store:{folder}" if (folder / "store.json").is_file() else None
            raise InputError("no images in this folder", where=folder, expected=", ".join(SUFFIXES), hint=hint)

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        for index, path in enumerate(self._paths):
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                self.notice(f"{path.name} is not an image that can be read; left out")
                continue
            yield Frame(index, index / self.fps, image=image, clip=self.name)
