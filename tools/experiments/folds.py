"""Cross-validation over people: every fold leaves one, or a group, out, trains on the others and is tested on it."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from last_edge import records
from last_edge.clips.store import HEADER, ClipStore
from last_edge.clips.writer import leave_out
from last_edge.errors import UsageError
from last_edge.tasks.config import Recipe
from last_edge.tools.experiments.compare import once, spread_of
from last_edge.train.request import Report, Request
from last_edge.train.run import run_training
from last_edge.train.run_folder import FINAL

STORE = "store"
Score = dict[str, Any]
Train = Callable[[Request, str, Report], dict[str, Any]]
"""How one fold is trained: what is asked, the fold's name, the report -> the content of final.json."""


def plainly(request: Request, fold: str, report: Report) -> dict[str, Any]:
    """On labels alone, whatever the fold."""
    return run_training(request, report=report)


@dataclass(frozen=True)
class Folds:
    """What to train. subjects: who is left out in turn, empty for all; everybody else always trains.

    pairs: leave two out at a time, each subject together with each of the next `pairs` in a circle; 0 leaves one out.
    That is what settings are chosen with: whoever chooses for the fold of one subject looks at the runs that left this
    one out, and in them at the other one's clips alone.

    groups: leave out so many groups instead, each person in one of them, dealt so that they share each label evenly.
    """

    recipe: Recipe
    store: Path
    out: Path
    subjects: tuple[str, ...] = ()
    seeds: tuple[int, ...] = field(default=(42,))
    pairs: int = 0
    groups: int = 0
    device: str = "cpu"

    @cached_property
    def opened(self) -> ClipStore:
        """The store."""
        return ClipStore.open(self.store)

    @cached_property
    def tested(self) -> tuple[str, ...]:
        """Who is left out in turn; `UsageError` for somebody unknown, or too few people."""
        labelled = self.opened.index.label >= 0
        known = sorted(set(self.opened.index.subject[labelled].astype(str).tolist()))
        unknown = [name for name in self.subjects if name not in known]
        if unknown:
            raise UsageError("subjects are not in the store", where=self.store, expected=known, got=unknown)
        chosen, needed = self.subjects or tuple(known), 3 if self.pairs else 2
        if len(known) < needed or (self.pairs and len(chosen) < 2):
            raise UsageError("too few subjects to leave out", where=self.store, expected=f">= {needed}", got=known)
        if self.groups and (self.pairs or not 2 <= self.groups <= len(chosen)):
            expected = f"2 to {len(chosen)} groups, and no pairs"
            raise UsageError("people cannot be dealt so", expected=expected, got=f"{self.groups}, {self.pairs} pairs")
        return chosen

    @cached_property
    def folds(self) -> list[tuple[str, ...]]:
        """The subjects that each fold leaves out."""
        who = self.tested
        if self.groups:
            return deal(self.opened, who, self.groups)
        if not self.pairs:
            return [(name,) for name in who]
        steps = range(1, min(self.pairs, len(who) // 2) + 1)
        circle = [(place, (place + step) % len(who)) for step in steps for place in range(len(who))]
        return sorted({(who[min(pair)], who[max(pair)]) for pair in circle})

    def folder(self, fold: Sequence[str]) -> Path:
        """Where a fold's store and runs lie."""
        return self.out / (f"group_{self.folds.index(tuple(fold)) + 1}" if self.groups else "_".join(fold))

    def run(self, fold: Sequence[str], seed: int) -> Path:
        """Where a fold's run with a seed lies."""
        return self.folder(fold) / f"seed_{seed}"


def deal(store: ClipStore, people: Sequence[str], groups: int) -> list[tuple[str, ...]]:
    """People in so many groups, whoever has most clips first, each to the group that has least of that one's labels."""
    subjects, labels = store.index.subject.astype(str), store.index.label
    counts = {
        name: np.bincount(labels[(subjects == name) & (labels >= 0)], minlength=len(store.labels)) for name in people
    }
    total = np.maximum(sum(counts.values()), 1)
    held = np.zeros((groups, len(store.labels)))
    found: list[list[str]] = [[] for _ in range(groups)]
    for name in sorted(people, key=lambda name: (-counts[name].sum(), name)):
        least = min(range(groups), key=lambda group: (held[group] @ (counts[name] / total), len(found[group])))
        held[least] += counts[name] / total
        found[least].append(name)
    return [tuple(sorted(group)) for group in found]


def train_folds(folds: Folds, *, report: Callable[[str], Report], train: Train = plainly) -> list[Score]:
    """Make every run that is not made yet; returns one row a subject.

    A row: `subject`, `clips`, `top1` and `top3` (means over seeds, percent), `each` (top-1 of each run). With pairs a
    subject's row is made of the other one of each pair it is in. Raises `InterruptedRun` when stopped, with a
    checkpoint saved: the same call goes on from there.
    """
    finals = {fold: [_run(folds, fold, seed, report, train) for seed in folds.seeds] for fold in folds.folds}
    if folds.pairs:
        return [_pair_row(folds, name, finals) for name in folds.tested]
    return [_row(folds.folder(fold).name, finals[fold]) for fold in folds.folds]


def pooled(folds: Folds) -> dict[str, Any]:
    """Of all clips that finished folds left out, means over seeds in percent: `n`, `top1`, `mean_class`, `classes`
    (label -> clips and top-1) and `people` (name -> top-1)."""
    tests = [records.read_json(folds.run(fold, seed) / FINAL)["test"] for fold in folds.folds for seed in folds.seeds]
    confusion = np.sum([test["confusion"] for test in tests], axis=0)
    clips, hits = confusion.sum(axis=1), confusion.diagonal()
    classes = {
        label: {"clips": int(n) // len(folds.seeds), "top1": round(100 * float(hit) / float(n), 2)}
        for label, n, hit in zip(tests[0]["labels"], clips, hits, strict=True) if n
    }  # fmt: skip
    people: dict[str, list[float]] = {}
    for test in tests:
        for name, top1 in test["per_subject"].items():
            people.setdefault(name, []).append(top1)
    return {
        "n": int(clips.sum()) // len(folds.seeds),
        "top1": round(100 * float(hits.sum() / clips.sum()), 2),
        "mean_class": round(float(np.mean([row["top1"] for row in classes.values()])), 2),
        "classes": classes,
        "people": {name: round(float(np.mean(each)), 2) for name, each in sorted(people.items())},
    }


def summary(rows: Sequence[Score]) -> dict[str, float]:
    """Mean, standard deviation, least and greatest of the subjects' top-1."""
    found = dataclasses.asdict(spread_of([row["top1"] for row in rows]))
    return {name: found[name] for name in ("mean", "std", "least", "greatest")}


def _run(folds: Folds, fold: Sequence[str], seed: int, report: Callable[[str], Report], train: Train) -> dict[str, Any]:
    store = folds.folder(fold) / STORE
    if not (store / HEADER).exists() or _sources(store) != _sources(folds.store):
        leave_out(folds.opened, store, subjects=fold, force=True)
    recipe = dataclasses.replace(folds.recipe, seed=seed)
    request = Request(recipe, store, folds.run(fold, seed), device=folds.device)
    title, name = f"{' '.join(fold)} seed {seed}", folds.folder(fold).name
    return once(request.out, train, request, name, report(title))


def _sources(store: Path) -> tuple[str, str, int]:
    """What a store has in common with one that has other splits."""
    header = ClipStore.open(store).header
    return header.files["frames.npy"].sha256, header.files["confidence.npy"].sha256, header.clips


def _row(name: str, finals: list[dict[str, Any]]) -> Score:
    tests = [final["test"] for final in finals]
    each = [test["top1"] for test in tests]
    return {
        "subject": name, "clips": tests[0]["n"], "top1": round(float(np.mean(each)), 2),
        "top3": round(float(np.mean([test["top3"] for test in tests])), 2), "each": each,
    }  # fmt: skip


def _pair_row(folds: Folds, name: str, finals: dict[tuple[str, ...], list[dict[str, Any]]]) -> Score:
    others = {next(other for other in fold if other != name): runs for fold, runs in finals.items() if name in fold}
    each = {other: [final["test"]["per_subject"][other] for final in runs] for other, runs in others.items()}
    return {
        "subject": name,
        "clips": int(np.isin(folds.opened.index.subject.astype(str), list(others)).sum()),
        "top1": round(float(np.mean(list(each.values()))), 2),
        "each": each,
    }
