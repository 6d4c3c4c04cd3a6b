"""Held-out answers of small sets: everybody, or every block of takes, is left out once and judged by the others."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import HEADER, ClipStore
from last_edge.clips.writer import with_splits
from last_edge.errors import InterruptedRun
from last_edge.tasks.config import Recipe
from last_edge.tools.experiments.repeat import once

MOST_FOLDS = 5
STORE, RUN = "store", "run"
Groups = NDArray[np.object_]
Folds = list[NDArray[np.int64]]
"""The clips that each fold leaves out."""


@dataclass(frozen=True)
class FoldJob:
    """One fold: clips that are left out of the training, and where its store and run lie."""

    recipe: Recipe
    store: Path
    folder: Path
    tests: tuple[int, ...]


@dataclass(frozen=True)
class HeldOut:
    """What models said of clips that they were not taught.

    by: what was left out, `people` or `takes`. fold: (n,) the fold of each clip. clips: (n,) their numbers in the
    store. logits: (n, K).
    """

    by: str
    folds: int
    clips: NDArray[np.int64]
    logits: NDArray[np.float32]


def take_of(source_id: str) -> str:
    """The recording that a clip was cut from: what stands before `#`."""
    return source_id.partition("#")[0]


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
        name = str(store.index.source_id[clip])
        found.setdefault(f"{store.index.subject[clip]}/{take_of(name)}" if name else f"#{clip}", []).append(clip)
    return list(found.values())


def leave_each_out(
    store: ClipStore, recipe: Recipe, out: Path, *, background: NDArray[np.bool_], workers: int,
    progress: Callable[[int, int], None],
) -> HeldOut:  # fmt: skip
    """Train every fold that is not trained yet, `workers` at a time, and ask each about the clips that it left out.

    out: holds the folds of this store and recipe alone. Raises `InterruptedRun` when stopped: the same call goes on.
    """
    by, folds = plan_folds(store, background)
    jobs = [FoldJob(recipe, store.path, out / f"{number}", tuple(tests.tolist())) for number, tests in enumerate(folds)]
    logits = np.zeros((len(store), len(store.labels)), np.float32)
    for done, (job, answers) in enumerate(_all(jobs, min(workers, len(jobs))), start=1):
        logits[list(job.tests)] = answers
        progress(done, len(jobs))
    clips = np.sort(np.concatenate(folds))
    return HeldOut(by, len(folds), clips, logits[clips])


def _all(jobs: Sequence[FoldJob], workers: int) -> Iterator[tuple[FoldJob, NDArray[np.float32]]]:
    if workers < 2:
        yield from ((job, train_fold(job)) for job in jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(train_fold, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except KeyboardInterrupt as error:
            pool.shutdown(wait=True, cancel_futures=True)
            raise InterruptedRun("stopped; what is trained is kept", hint="the same command to go on") from error


def train_fold(job: FoldJob) -> NDArray[np.float32]:
    """(n, K) logits of the clips that a fold leaves out, by a model that was taught the others."""
    import torch

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
    checkpoint = load_checkpoint(job.folder / RUN)
    return predict(checkpoint.model, ClipStore.open(folder), np.array(job.tests, np.int64), spec=checkpoint.spec)
