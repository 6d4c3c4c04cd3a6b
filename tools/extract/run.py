"""From a folder of videos to a store with features beside it, in steps that an interruption does not undo.

Each video's landmarks and features are one `.npz`; done once, whatever interrupts.
"""

import logging
import multiprocessing
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.clips.features import write_features
from last_edge.clips.store import ClipStore
from last_edge.data.prepare import Prepared, store_clips
from last_edge.data.readers.nslt import TO_THE_END, nslt_labels
from last_edge.errors import InputError, MissingError
from last_edge.files import check_writable, writing
from last_edge.machine import end_with_parent
from last_edge.runtime.landmarks import GIVES, create_landmarks
from last_edge.runtime.record.takes import Take
from last_edge.runtime.sources.video import ImageFolderSource, VideoSource
from last_edge.skeleton.clip import SkeletonClip
from last_edge.skeleton.layout import get_layout
from last_edge.tools.extract.plan import Job, as_frames

Image = NDArray[np.uint8]
IDENTITY = "identity"
BATCH = 8
EVEN = 0.5
"""Frames that time stamps may be off the file's own rate before they decide."""
STORE = "store"
BROKEN = "broken.json"
AXES = "x to the image's right, y down, z away from the camera; all in image heights"
CRASHED = "the process that read it ended without a word"
PATIENCE_S = 10.0
log = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Extracted:
    """What came of it. made, before: videos done now, and earlier. broken: those that cannot be read, and why.
    incomplete: those of which frames cannot be read, and which.
    """

    made: int
    before: int
    broken: dict[str, str]
    incomplete: dict[str, str]
    store: Prepared


def extract_all(
    jobs: list[Job], out: Path, *, name: str, index: Path | None = None, processes: int = 1, dask: str = "",
    force: bool = False, strict: bool = False, store: Path | None = None, dataset: str = "extracted",
    progress: Callable[[int, int], None] = lambda done, jobs: None,
) -> Extracted:  # fmt: skip
    """Do the jobs that are not done, then write the store, with features `name` where there is a vision model.

    What is done lies in OUT/clips, one file a video; OUT/broken.json names the videos without a result, which are tried
    again next time. force: do all anew. strict: `InputError`, no store, where a video cannot be read to its
    end. store: where it goes, by default OUT/store, and what `dataset` it is called. `InputError` when no video gave
    anything.
    """
    check_writable(out / BROKEN)
    if force:
        for job in jobs:
            Path(job.out).unlink(missing_ok=True)
    results = ((job, read_result(job)) for job in jobs)
    done = {
        job.name: Outcome(job.name, notes=str(result["notes"]), fresh=False)
        for job, result in results
        if result is not None
    }
    before = len(done)
    left = [job for job in jobs if job.name not in done]
    if dask:
        outcomes = on_a_cluster(left, address=dask)
    else:
        outcomes = on_this_machine(left, processes=processes) if processes > 1 else map(extract, left)
    for outcome in outcomes:
        done[outcome.name] = outcome
        if outcome.problem:
            log.warning("%s: %s", outcome.name, outcome.problem)
        progress(len(done), len(jobs))
    incomplete = {job.name: done[job.name].notes for job in jobs if done[job.name].notes}
    for video, notes in incomplete.items():
        log.warning("not whole: %s: %s", video, notes)
    broken = {job.name: done[job.name].problem for job in jobs if done[job.name].problem}
    records.write_json(out / BROKEN, broken)
    if strict and (broken or incomplete):
        video, why = next(iter((broken | incomplete).items()))
        got = f"{len(broken)} unreadable, {len(incomplete)} not whole; {video}: {why}"
        raise InputError("not every video could be read", where=out / BROKEN, got=got, hint="without --strict")
    whole = [job for job in jobs if job.name not in broken]
    if not whole:
        raise InputError("no video could be read", where=out / BROKEN, got=f"{len(broken)} broken")
    return Extracted(
        len(left) - len(broken), before, broken, incomplete,
        write_store(whole, store or out / STORE, name, index, dataset=dataset),
    )  # fmt: skip


def write_store(jobs: list[Job], path: Path, name: str, index: Path | None, *, dataset: str) -> Prepared:
    """The store of finished jobs, in their order."""
    settings = jobs[0].settings
    labels = nslt_labels(index) if index and index.suffix == ".json" else None
    vision = Path(settings.vision).name if settings.vision else ""  # a record without this machine's paths
    options = {**asdict(settings), "vision": vision, "numpy": np.__version__}
    about: dict[str, Any] = {
        "dataset": dataset, "source": index.name if index else "videos", "licence": "that of the videos",
        "axes": AXES, "options": options,
    }  # fmt: skip
    made = store_clips(_clips(jobs), name=dataset, out=path, labels=labels, about=about, force=True)
    if settings.vision:
        store, by_name = ClipStore.open(path), {job.name: job for job in jobs}
        rows = (_result(by_name[str(clip)])["features"] for clip in store.index.source_id)
        write_features(store, name, rows, about=options)
    return made


def _clips(jobs: list[Job]) -> Iterator[SkeletonClip]:
    for job in jobs:
        result = _result(job)
        spans = as_frames(job.spans, fps=float(result["fps"]), frames=len(result["points"]), where=job.name)
        yield SkeletonClip.from_points(
            result["points"][None], layout=get_layout(job.settings.layout), fps=float(result["fps"]), units="image01",
            label=job.label, subject=job.subject, source_id=job.name, split=job.split,
            spans=spans,
        )  # fmt: skip


def _result(job: Job) -> dict[str, NDArray[Any]]:
    result = read_result(job)
    if result is None:
        raise InputError("a result went away meanwhile", where=job.out)
    return result


def on_this_machine(
    jobs: Sequence[Job], *, processes: int, work: Callable[[Job], Outcome] = extract
) -> Iterator[Outcome]:
    """Outcomes as they come. A video that takes its process down is one without a result; the others go on."""
    spawn = multiprocessing.get_context("spawn")
    suspects: list[Job] = []
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=end_with_parent) as pool:
        futures = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                suspects.append(futures[future])
    for job in suspects:  # each in a process of its own: another one's crash may have ended the pool it was in
        with ProcessPoolExecutor(1, mp_context=spawn, initializer=end_with_parent) as pool:
            try:
                yield pool.submit(work, job).result()
            except BrokenProcessPool:
                yield Outcome(job.name, problem=CRASHED)


def on_a_cluster(jobs: Sequence[Job], *, address: str, patience_s: float = PATIENCE_S) -> Iterator[Outcome]:
    """Outcomes as they come from a Dask cluster, whose workers see the same folders under the same names.

    `MissingError` without dask.distributed, or where no scheduler answers.
    """
    try:
        import distributed
    except ImportError as error:
        raise MissingError("a cluster needs dask.distributed", hint="pip install 'last-edge[cluster]'") from error
    try:
        client = distributed.Client(address, timeout=patience_s)
    except (OSError, ValueError) as error:
        raise MissingError("no Dask scheduler answers", where=address, got=error, hint="dask scheduler") from error
    with client:
        futures = client.map(extract, jobs, key=[f"extract-{number}" for number in range(len(jobs))], pure=False)
        for future in distributed.as_completed(futures):
            yield future.result()
