"""Where frames come from: a video file, images, a camera, an address, a `.pose` replay, a clip store, made motion."""

from __future__ import annotations

from pathlib import Path

from last_edge.errors import UsageError
from last_edge.runtime.sources.base import Frame, Source
from last_edge.runtime.sources.live import SCHEMES, CameraSource, NetworkSource
from last_edge.runtime.sources.points import PoseFileSource, StoreSource, SyntheticSource
from last_edge.runtime.sources.video import ImageFolderSource, VideoSource
from last_edge.skeleton import Layout

FORMS = (
    "FILE.mp4, FOLDER of images, cam:0, cam:0,1280x720,30, rtsp://…, http://…, replay:FILE.pose, store:FOLDER, "
    "store:FOLDER#CLIP or synthetic"
)

__all__ = ["FORMS", "Frame", "Source", "open_source"]


def open_source(text: str, *, layout: Layout) -> Source:
    """The source a user named; `layout` is what a generated motion shows.

    Raises `UsageError` for an unknown form, `InputError` for an unreadable or empty file, `MissingError` for an
    absent camera or an address that does not answer.
    """
    kind, _, rest = text.partition(":")
    if text == "synthetic":
        return SyntheticSource(layout)
    if kind == "cam":
        return CameraSource(rest)
    if kind == "replay":
        return PoseFileSource(Path(rest))
    if kind == "store":
        return StoreSource(rest)
    if rest.startswith("//"):
        if kind not in SCHEMES:
            raise UsageError("unknown kind of address", got=text, expected=", ".join(f"{name}://" for name in SCHEMES))
        return NetworkSource(text)
    if not text:
        raise UsageError("no source given", expected=FORMS)
    return _open_path(Path(text))


def _open_path(path: Path) -> Source:
    if path.suffix == ".pose":
        return PoseFileSource(path)
    if path.is_dir():
        return ImageFolderSource(path)
    return VideoSource(path)
