"""Held-out answers of small sets: everybody, or every block of takes, is left out once and judged by the others.

A fold's model answers to each take that it was not taught, and to streams of them, with nobody in view between, and of
background: from these come thresholds, and how many false events an hour are to be expected.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import MANIFEST
from last_edge.clips.compose import Span
from last_edge.clips.store import HEADER, ClipStore
from last_edge.clips.writer import with_splits
from last_edge.errors import InterruptedRun
from last_edge.machine import end_with_parent
from last_edge.names import is_background
from last_edge.runtime.recognise.stream import Decode
from last_edge.runtime.recogniser import Recogniser
from last_edge.tasks.config import Recipe
from last_edge.tools.experiments.compare import once
from last_edge.tools.operating import Played, Take, played_each, silent_takes
from last_edge.tools.teach.basis import shows_nothing

MOST_FOLDS = 5
STORE, RUN, BUNDLE = "store", "run", "bundle"
GAP_S = 2.5
"""Seconds without anybody in view between two takes of a stream: longer than an event may come late."""
Groups = NDArray[np.object_]
Folds = list[NDArray[np.int64]]
"""The clips that each fold leaves out."""


@dataclass(frozen=True)
class FoldJob:
    """One fold: clips left out of the training, where its store, run and bundle lie, and the hands it knows."""

    recipe: Recipe
    store: Path
    folder: Path
    tests: tuple[int, ...]
    hands: str


@dataclass(frozen=True)
class HeldOut:
    """What models said of clips that they were not taught.

    by: what was left out, `people` or `takes`. clips: (n,) their numbers in the store. logits: (n, K). streams: by way
    of decoding what was said of streams of them.
    """

    by: str
    folds: int
    clips: NDArray[np.int64]
    logits: NDArray[np.float32]
    streams: Mapping[Decode, Sequence[Played]]


@dataclass(frozen=True)
class FoldAnswer:
    """Of one fold, see `HeldOut`."""

    logits: NDArray[np.float32]
    streams: dict[Decode, list[Played]]


def plan_folds(store: ClipStore, background: NDArray[np.bool_]) -> tuple[str, Folds]:
    """What is left out in turn, and the clips of each fold; background (N,) tells which clips show no gesture.

    People, where every gesture was done by two of them and more; else blocks of takes that follow one another, which
    resemble each other most. Background is dealt to the folds by its own recordings.
    """
    index = store.index
    people, labels = index.subject.astype(str), index.label
    own = np.flatnonzero(~background)
    several = all(len(set(people[own][labels[own] == label])) > 1 for label in np.unique(labels[own]))
    if several:
        names = sorted(set(people[own].tolist()))
        count = min(len(names), MOST_FOLDS)
        fold_of = {name: place * count // len(names) for place, name in enumerate(names)}
        folds = [[clip for clip in own.tolist() if fold_of[people[clip]] == fold] for fold in range(count)]
    else:
        folds = _blocks(store, own)
    for place, recording in enumerate(_recordings(store, np.flatnonzero(background))):
        folds[place % len(folds)] += recording
    return "people" if several else "takes", [np.array(sorted(fold), np.int64) for fold in folds]


def _blocks(store: ClipStore, clips: NDArray[np.int64]) -> list[list[int]]:
    """Each gesture's recordings in their order, cut into as many blocks as there are folds."""
    labels = store.index.label
    by_label = [_recordings(store, clips[labels[clips] == label]) for label in np.unique(labels[clips])]
    count = max(2, min(MOST_FOLDS, max(map(len, by_label))))
    folds: list[list[int]] = [[] for _ in range(count)]
    for recordings in by_label:
        for place, recording in enumerate(recordings):
            folds[place * count // len(recordings)] += recording
    return folds


def _recordings(store: ClipStore, clips: NDArray[np.int64]) -> list[list[int]]:
    found: dict[str, list[int]] = {}
    for clip in clips.tolist():
        # What stands before `#` names the recording that a clip was cut from.
        recording = str(store.index.source_id[clip]).partition("#")[0]
        found.setdefault(f"{store.index.subject[clip]}/{recording}" if recording else f"#{clip}", []).append(clip)
    return list(found.values())


def leave_each_out(
    store: ClipStore, recipe: Recipe, out: Path, *, background: NDArray[np.bool_], hands: str, workers: int,
    progress: Callable[[int, int], None],
) -> HeldOut:  # fmt: skip
    """Train every fold that is not trained yet, `workers` at a time, and ask each about the clips that it left out.

    out: holds the folds of this store and recipe alone. hands: that the bundle will know. Raises
    `InterruptedRun` when stopped: the same call goes on.
    """
    by, folds = plan_folds(store, background)
    jobs = [
        FoldJob(recipe, store.path, out / f"{number}", tuple(tests.tolist()), hands)
        for number, tests in enumerate(folds)
    ]
    logits = np.zeros((len(store), len(store.labels)), np.float32)
    streams: dict[Decode, list[Played]] = {decode: [] for decode in get_args(Decode)}
    for done, (job, answer) in enumerate(_all(jobs, min(workers, len(jobs))), start=1):
        logits[list(job.tests)] = answer.logits
        for decode, records in answer.streams.items():
            streams[decode] += records
        progress(done, len(jobs))
    clips = np.sort(np.concatenate(folds))
    return HeldOut(by, len(folds), clips, logits[clips], streams)


def _all(jobs: Sequence[FoldJob], workers: int) -> Iterator[tuple[FoldJob, FoldAnswer]]:
    if workers < 2:
        yield from ((job, train_fold(job)) for job in jobs)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=end_with_parent) as pool:
        futures = {pool.submit(train_fold, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except KeyboardInterrupt as error:
            pool.shutdown(wait=True, cancel_futures=True)
            raise InterruptedRun("stopped; what is trained is kept", hint="the same command to go on") from error


def train_fold(job: FoldJob) -> FoldAnswer:
    """What a model that was taught the others says of the clips that a fold leaves out."""
    import torch

    from last_edge.export.bundles.bundle_writer import export_run
    from last_edge.tasks.class_learner import predict
    from last_edge.train.checkpoint import load_checkpoint
    from last_edge.train.request import Request
    from last_edge.train.run import run_training

    torch.set_num_threads(1)
    folder = job.folder / STORE
    if not (folder / HEADER).exists():
        whole = ClipStore.open(job.store)
        split = np.full(len(whole), "train", np.object_)
        split[list(job.tests)] = "test"
        with_splits(whole, folder, split=split)
    once(job.folder / RUN, run_training, Request(job.recipe, folder, job.folder / RUN, test=False))
    store, tests = ClipStore.open(folder), np.array(job.tests, np.int64)
    checkpoint, bundle = load_checkpoint(job.folder / RUN), job.folder / BUNDLE
    logits = predict(checkpoint.model, store, tests, spec=checkpoint.spec)
    if not (bundle / MANIFEST).exists():
        export_run(job.folder / RUN, bundle, hands=job.hands)
    with Recogniser.open(bundle, threads=1) as model:
        takes = streams_of(store, tests, bodies=model.spec.bodies)
        played_as = played_each(model, takes, get_args(Decode))
    return FoldAnswer(logits, played_as)


def streams_of(store: ClipStore, clips: NDArray[np.int64], *, bodies: int) -> list[Take]:
    """Streams of some clips: of each person who makes gestures one, in which nothing is in view between two takes, as
    takes begin and end with the hand; other people's clips of nothing each on its own.

    Not composed by poses (`last_edge.clips.compose`): a hand at rest where a take ended is what a held sign looks like.
    """
    people, silent = store.index.subject.astype(str), shows_nothing(store)
    makers = sorted(set(people[clips[~silent[clips]]].tolist()))
    takes = []
    for person in makers:
        own = clips[people[clips] == person]
        takes.append(_one_by_one(store, np.random.default_rng(0).permutation(own), bodies=bodies))
    others = [store.clip(clip) for clip in clips[~np.isin(people[clips], makers)].tolist()]
    return [*takes, *silent_takes(others, bodies=bodies)]


def _one_by_one(store: ClipStore, clips: NDArray[np.int64], *, bodies: int) -> Take:
    """Clips one after the other, at their own rates, with nothing in view before, between and after them."""
    points: list[NDArray[np.float32]] = []
    times: list[NDArray[np.float64]] = []
    spans: list[Span] = []
    now = 0.0
    for clip in clips.tolist():
        taken, step = store.points(clip)[:bodies], 1 / float(store.index.fps[clip])
        label = store.labels[int(store.index.label[clip])]
        gap = round(GAP_S / step)
        absent = np.full((len(taken), gap, *taken.shape[2:]), np.nan, np.float32)
        points += [absent, taken]
        times.append(np.asarray(now + step * np.arange(gap + taken.shape[1]), np.float64))
        start, end = float(times[-1][gap]), float(times[-1][-1])
        spans.append(Span("" if is_background(label) else label, start, end))
        now = end + step
    times.append(np.asarray(now + step * np.arange(gap), np.float64))
    return Take(np.concatenate([*points, absent], axis=1), np.concatenate(times), tuple(spans))
