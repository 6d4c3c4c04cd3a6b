"""One video's landmarks and features, written as one `.npz`; done once, whatever interrupts."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.data.readers.nslt import TO_THE_END
from last_edge.errors import InputError, MissingError
from last_edge.files import writing
from last_edge.runtime.landmarks import GIVES, create_landmarks
from last_edge.runtime.landmarks.mediapipe import LandmarkSource
from last_edge.runtime.sources.base import Frame
from last_edge.runtime.sources.video import VideoSource
from last_edge.tools.extract.plan import Job
from last_edge.tools.extract.visual import vision_model

IDENTITY = "identity"


@dataclass(frozen=True)
class Outcome:
    """What came of a video. problem: why there is no result, "" where there is one. fresh: made now, not before."""

    name: str
    problem: str = ""
    frames: int = 0
    fresh: bool = True


def extract(job: Job) -> Outcome:
    """Do a job whose result is not there yet; a video that cannot be read is an outcome, not an error.

    `MissingError` where this machine lacks what every video needs: landmark models, transformers.
    """
    if (done := read_result(job)) is not None:
        return Outcome(job.name, frames=len(done["points"]), fresh=False)
    try:
        points, fps = _landmarks(job)
        arrays: dict[str, Any] = {"points": points, "fps": np.float64(fps), IDENTITY: np.str_(job.identity)}
        if job.settings.vision:
            arrays["features"] = vision_model(job.settings.vision)(_spread_frames(job, len(points)))
    except MissingError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders and detectors fail in their own ways; the others go on
        return Outcome(job.name, problem=f"{type(error).__name__}: {error}".splitlines()[0])
    with writing(Path(job.out)) as stream:
        np.savez(stream, **arrays)
    return Outcome(job.name, frames=len(points))


def read_result(job: Job) -> dict[str, NDArray[Any]] | None:
    """The result of this very job, None where there is none, or one of other settings, or of a changed video."""
    try:
        with np.load(job.out, allow_pickle=False) as arrays:
            result = dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    return result if str(result.get(IDENTITY)) == job.identity else None


def _landmarks(job: Job) -> tuple[NDArray[np.float32], float]:
    """(T, V, 3) points of the sign's frames in image heights, NaN where unseen, and the video's frame rate."""
    with VideoSource(Path(job.video)) as video, _detector(job.settings.layout) as detector:
        points = [detector(_image(frame), frame.timestamp_s) for frame in _sign(video, job)]
        fps = video.fps
    if not points:
        expected = f"frames from {job.first} on"
        raise InputError("recording ends before its sign", where=job.video, expected=expected)
    return np.stack(points), fps


def _detector(layout: str) -> closing[LandmarkSource]:
    return closing(create_landmarks(GIVES[layout], layout=layout))


def _spread_frames(job: Job, frames: int) -> list[NDArray[np.uint8]]:
    """Images of evenly spread frames of the sign, first and last among them, each once."""
    wanted = set(np.unique(np.linspace(0, frames - 1, job.settings.rows).round().astype(int)).tolist())
    with VideoSource(Path(job.video)) as video:
        return [_image(frame) for place, frame in enumerate(_sign(video, job)) if place in wanted]


def _sign(video: VideoSource, job: Job) -> Iterator[Frame]:
    return islice(video, job.first - 1, None if job.last == TO_THE_END else job.last)


def _image(frame: Frame) -> NDArray[np.uint8]:
    assert frame.image is not None
    return frame.image
