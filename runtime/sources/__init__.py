"""Where frames come from: a video file, images, a camera, an address, a `.pose` replay, a clip store, made motion."""

from pathlib import Path

from last_edge.errors import UsageError
from last_edge.runtime.sources.base import Frame, ImageOptions, Source
from last_edge.runtime.sources.live import SCHEMES, CameraSource, NetworkSource, PipelineSource, camera_text
from last_edge.runtime.sources.video import ImageFolderSource, VideoSource
from last_edge.skeleton import Layout

FORMS = (
    "FILE.mp4, FOLDER of images, cam:0, cam:0,vga,30, csi:0, rtsp://…, http://…, replay:FILE.pose, store:FOLDER, "
    "store:FOLDER#CLIP, samples:BUNDLE or synthetic"
)

__all__ = ["FORMS", "Frame", "ImageOptions", "Source", "is_camera", "open_source"]


def open_source(text: str, *, layout: Layout, images: ImageOptions | None = None) -> Source:
    """The source a user named; `layout` is what a generated motion shows, `images` how its images are turned and timed.

    A camera is also `0` or `/dev/video0`; a text with ` ! ` is a GStreamer pipeline.
    Raises `UsageError` for an unknown form or `images` of a source without any, `InputError` for an unreadable or empty
    file, `MissingError` for an absent camera or an address that does not answer.
    """
    images = images or ImageOptions()
    kind, _, rest = text.partition(":")
    if (camera := camera_text(text)) is not None:
        return CameraSource(camera, images)
    if kind == "csi":
        from last_edge.runtime.sources.csi import open_csi

        return open_csi(rest, images)
    if " ! " in text:
        return PipelineSource(text.split()[0], text, images)
    if rest.startswith("//"):
        if kind not in SCHEMES:
            raise UsageError("unknown kind of address", got=text, expected=", ".join(f"{name}://" for name in SCHEMES))
        return NetworkSource(text, images)
    if not text:
        raise UsageError("no source given", expected=FORMS)
    points = _source_of_points(text, layout)
    if points is None:
        return ImageFolderSource(Path(text), images) if Path(text).is_dir() else VideoSource(Path(text), images)
    if images != ImageOptions():
        points.close()
        raise UsageError("this source gives points, not images", where=text, hint="without --flip, --rotate and --fps")
    return points


def is_camera(text: str) -> bool:
    """Whether a text names a camera, by its number, device, board port or pipeline."""
    return camera_text(text) is not None or text.startswith("csi:") or " ! " in text


def _source_of_points(text: str, layout: Layout) -> Source | None:
    """A source that gives points; None where a text names none."""
    kind, _, rest = text.partition(":")
    if text != "synthetic" and kind not in ("replay", "samples", "store") and Path(text).suffix != ".pose":
        return None
    from last_edge.bundle.zoo import find_bundle
    from last_edge.runtime.sources.points import PoseFileSource, SampleSource, StoreSource, SyntheticSource

    if text == "synthetic":
        return SyntheticSource(layout)
    if kind == "replay":
        return PoseFileSource(Path(rest))
    if kind == "samples":
        return SampleSource(find_bundle(rest))
    if kind == "store":
        return StoreSource(rest)
    return PoseFileSource(Path(text))
