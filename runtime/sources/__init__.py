"""Where frames come from: a video file, a camera, a `.pose` replay, a clip store, or a generated motion."""

from __future__ import annotations

from pathlib import Path

from last_edge.errors import UsageError
from last_edge.runtime.sources.base import Frame, Source
from last_edge.skeleton import Layout

FORMS = "FILE.mp4, cam:0, replay:FILE.pose, store:FOLDER, store:FOLDER#CLIP or synthetic"

__all__ = ["FORMS", "Frame", "Source", "open_source"]


def open_source(text: str, *, layout: Layout) -> Source:
    """The source a user named; `layout` is what a generated motion shows.

    Raises `UsageError` for an unknown form, `InputError` for an unreadable or empty file, `MissingError` for an
    absent camera.
    """
    kind, _, rest = text.partition(":")
    if text == "synthetic":
        from last_edge.runtime.sources.synthetic import SyntheticSource

        return SyntheticSource(layout)
    if kind == "cam":
        from last_edge.runtime.sources.camera import CameraSource

        return CameraSource(rest)
    if kind == "replay":
        from last_edge.runtime.sources.pose_file import PoseFileSource

        return PoseFileSource(Path(rest))
    if kind == "store":
        from last_edge.runtime.sources.store import StoreSource

        return StoreSource(rest)
    if not text:
        raise UsageError("no source given", expected=FORMS)
    return _open_path(Path(text))


def _open_path(path: Path) -> Source:
    if path.suffix == ".pose":
        from last_edge.runtime.sources.pose_file import PoseFileSource

        return PoseFileSource(path)
    from last_edge.runtime.sources.video import VideoSource

    return VideoSource(path)
