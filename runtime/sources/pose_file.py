"""A `.pose` file (pose-format) of MediaPipe Holistic or OpenPose points, replayed at its own frame rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from last_edge.clips.pose_file import read_pose
from last_edge.runtime.sources.base import Frame, Source


class PoseFileSource(Source):
    """Every person of the file as a body, in `image01`; `InputError` when the file is unreadable or of other points."""

    def __init__(self, path: Path) -> None:
        self._clip = read_pose(path)
        self.name, self.fps = path.name, self._clip.fps
        self.layout, self.units = self._clip.layout, self._clip.units
        self.announced_frames = self._clip.frames

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._clip.frames):
            yield Frame(index, index / self.fps, points=self._clip.coords[:, index], clip=self.name)
