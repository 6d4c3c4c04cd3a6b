"""From a folder of videos to a store with features beside it, in steps that an interruption does not undo."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.features import write_features
from last_edge.clips.store import ClipStore
from last_edge.data.prepare import Prepared, store_clips
from last_edge.data.readers.nslt import nslt_labels
from last_edge.errors import InputError, MissingError
from last_edge.files import check_writable, write_text
from last_edge.machine import end_with_parent
from last_edge.skeleton.clip import SkeletonClip
from last_edge.skeleton.layout import get_layout
from last_edge.tools.extract.plan import Job, as_frames
from last_edge.tools.extract.video import Outcome, extract, read_result
from last_edge.train.checkpoint import as_json

STORE = "store"
BROKEN = "broken.json"
AXES = "x to the image's right, y down, z away from the camera; all in image heights"
CRASHED = "the process that read it ended without a word"
PATIENCE_S = 10.0
Work = Callable[[Job], Outcome]
log = logging.getLogger(__name__)


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
    write_text(out / BROKEN, as_json(broken))
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


def on_this_machine(jobs: Sequence[Job], *, processes: int, work: Work = extract) -> Iterator[Outcome]:
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


def on_a_cluster(
    jobs: Sequence[Job], *, address: str, work: Work = extract, patience_s: float = PATIENCE_S
) -> Iterator[Outcome]:
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
        futures = client.map(work, jobs, key=[f"extract-{number}" for number in range(len(jobs))], pure=False)
        for future in distributed.as_completed(futures):
            yield future.result()
