"""One video's landmarks and features, written as one `.npz`; done once, whatever interrupts."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.data.readers.nslt import TO_THE_END
from last_edge.errors import InputError, MissingError
from last_edge.files import writing
from last_edge.runtime.landmarks import GIVES, create_landmarks
from last_edge.runtime.record.takes import Take
from last_edge.runtime.sources.video import ImageFolderSource, VideoSource
from last_edge.tools.extract.plan import Job

IDENTITY = "identity"
BATCH = 8
EVEN = 0.5
"""Frames that time stamps may be off the file's own rate before they decide."""
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Outcome:
    """What came of a video. problem: why there is no result, "" where there is one. notes: what could not be read.
    fresh: made now, not before.
    """

    name: str
    problem: str = ""
    notes: str = ""
    frames: int = 0
    fresh: bool = True


def extract(job: Job) -> Outcome:
    """Do a job whose result is not there yet; a video that cannot be read is an outcome, not an error.

    `MissingError` where this machine lacks what every video needs: landmark models, transformers.
    """
    if (done := read_result(job)) is not None:
        return Outcome(job.name, notes=str(done["notes"]), frames=len(done["points"]), fresh=False)
    try:
        points, fps, notes = _landmarks(job)
        arrays: dict[str, Any] = {
            "points": points, "fps": np.float64(fps), "notes": np.str_(notes), IDENTITY: np.str_(job.identity)
        }  # fmt: skip
        if job.settings.vision:
            arrays["features"] = vision_model(job.settings.vision)(_spread_frames(job, len(points)))
    except MissingError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders and detectors fail in their own ways; the others go on
        return Outcome(job.name, problem=f"{type(error).__name__}: {error}".splitlines()[0])
    with writing(Path(job.out)) as stream:
        np.savez(stream, **arrays)
    return Outcome(job.name, notes=notes, frames=len(points))


def read_result(job: Job) -> dict[str, NDArray[Any]] | None:
    """The result of this very job, None where there is none, or one of other settings, or of a changed video."""
    try:
        with np.load(job.out, allow_pickle=False) as arrays:
            result = dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    return result if str(result.get(IDENTITY)) == job.identity else None


def _landmarks(job: Job) -> tuple[NDArray[np.float32], float, str]:
    """(T, V, 3) points of the sign's frames in image heights, NaN where unseen, their frame rate, even in time, and
    what could not be read."""
    layout, person = job.settings.layout, job.settings.person
    with _opened(job) as video, closing(create_landmarks(GIVES[layout], layout=layout, person=person)) as detector:
        notes: list[str] = []
        video.notice = detector.notice = notes.append
        seen = [(detector(image, time_s), time_s) for image, time_s in _sign(video, job)]
        fps = video.fps
    if not seen:
        expected = f"{job.start_s} s" if job.start_s else f"frame {job.first}"
        raise InputError("recording ends before its sign", where=job.video, expected=f"frames from {expected} on")
    points, times = np.stack([points for points, _ in seen]), np.array([time_s for _, time_s in seen])
    if np.abs(times - times[0] - np.arange(len(times)) / fps).max() * fps <= EVEN:
        return points, fps, "; ".join(notes)
    take = Take(points[None], times, seen=1.0)
    return take.evenly()[0], take.fps, "; ".join(notes)


def _opened(job: Job) -> VideoSource | ImageFolderSource:
    path, images = Path(job.video), job.settings.images
    return ImageFolderSource(path, images) if path.is_dir() else VideoSource(path, images)


def _spread_frames(job: Job, frames: int) -> list[Image]:
    """Images of evenly spread frames of the sign, first and last among them, each once."""
    wanted = set(np.unique(np.linspace(0, frames - 1, job.settings.rows).round().astype(int)).tolist())
    with _opened(job) as video:
        return [image for place, (image, _) in enumerate(_sign(video, job)) if place in wanted]


def _sign(video: VideoSource | ImageFolderSource, job: Job) -> Iterator[tuple[Image, float]]:
    """Image and time of the sign's frames."""
    for frame in islice(video, job.first - 1, None if job.last == TO_THE_END else job.last):
        assert frame.image is not None
        if frame.timestamp_s > job.end_s:
            return
        if frame.timestamp_s >= job.start_s:
            yield frame.image, frame.timestamp_s


class VisionModel:
    """`VisionModel(folder)(images)`: (H, W, 3) BGR images -> (n, D), the model's pooled output, or its tokens' mean.

    Of a model of pictures and words the picture's part is used. Weights come from safetensors; code that a folder may
    hold is not run. `MissingError` without transformers, `InputError` when the folder holds no vision model.
    """

    def __init__(self, folder: str) -> None:
        try:
            import transformers
        except ImportError as error:
            raise MissingError("visual features need transformers", hint="pip install 'last-edge[vision]'") from error
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        try:
            self._prepare = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
            loaded = transformers.AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, ImportError) as error:
            got = str(error).strip().splitlines()[0]
            raise InputError("not a vision model that transformers can load", where=folder, got=got) from error
        self._model, self._folder = getattr(loaded, "vision_model", loaded).eval(), folder

    def __call__(self, images: list[Image]) -> NDArray[np.float32]:
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        return np.concatenate([self._features(batch) for batch in batches])

    def _features(self, images: list[Image]) -> NDArray[np.float32]:
        import torch

        pixels = self._prepare(images=[image[..., ::-1].copy() for image in images], return_tensors="pt")
        with torch.inference_mode():
            output = self._model(pixel_values=pixels["pixel_values"])
        pooled = getattr(output, "pooler_output", None)
        found = output.last_hidden_state.mean(1) if pooled is None else pooled
        if len(found) != len(images):
            raise InputError("not a model of single images", where=self._folder, expected=len(images), got=len(found))
        return np.asarray(found.flatten(1).float().numpy())


@lru_cache(maxsize=1)
def vision_model(folder: str) -> VisionModel:
    """The model of a folder, loaded once a process."""
    return VisionModel(folder)
