"""Comparing two ways of training, or two artefacts, that answered the same clips; each way's runs done once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from last_edge import records
from last_edge.bundle import Bundle, is_bundle
from last_edge.bundle.zoo import find_bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_fits, check_points, labelled_clips
from last_edge.errors import InputError, UsageError
from last_edge.export.bundles.span_rules import read_rules, run_answers
from last_edge.export.proof.evaluate import deployed
from last_edge.export.proof.span_events import FrameAnswers, bundle_answers, rules_of, scored
from last_edge.runtime.recognise.spans import SpanRules
from last_edge.tasks.class_learner import predict
from last_edge.tasks.config import Recipe
from last_edge.tasks.plan import make_plan
from last_edge.tasks.registry import task_of, task_of_bundle
from last_edge.train.checkpoint import load_checkpoint
from last_edge.train.run_folder import FINAL, FinishedRun

P = ParamSpec("P")
Hits = NDArray[np.bool_]
PRECISIONS = ("fp32", "int8")
SIGNIFICANT = 0.05
DRAWS = 10_000
CHUNK = 500  # resamples held in memory at once


def once(out: Path, run: Callable[P, dict[str, Any]], *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
    """What `run` in folder `out` gives, or what it gave when it was done before with these very settings."""
    try:
        return run(*args, **kwargs)
    except FinishedRun:
        return dict(records.read_json(out / FINAL))


def compared_clips(store: ClipStore, recipe: Recipe, split: str) -> NDArray[np.int64]:
    """Clips of `val`, as the recipe holds them out, or of `test`; `InputError` when there are none."""
    if split == "test":
        return labelled_clips(store, "test")
    clips = make_plan(store, recipe).val
    if not len(clips):
        hint = "--set validation.fraction=0.1"
        raise InputError("no validation clips to compare on", where=store.path, hint=hint)
    return clips


def hits_of(run: Path, store: ClipStore, clips: NDArray[np.int64], *, device: str = "cpu") -> NDArray[np.bool_]:
    """(n,) whether a finished run's chosen checkpoint is right about each clip."""
    checkpoint = load_checkpoint(run)
    check_fits(store, checkpoint.spec, checkpoint.labels)
    logits = predict(checkpoint.model.to(device), store, clips, spec=checkpoint.spec, device=device)
    return np.asarray(logits.argmax(1) == store.index.label[clips])


def as_digits(hits: NDArray[np.bool_]) -> str:
    """Right and wrong answers as 1 and 0, one a clip."""
    return "".join("1" if hit else "0" for hit in hits)


@dataclass(frozen=True)
class Paired:
    """How much better one is than the other, in points of top-1: the mean difference and its interval.

    mcnemar: the exact test's p of each seed alone, for those who ask about one pair of runs.
    """

    points: float
    low: float
    high: float
    mcnemar: tuple[float, ...]

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired_difference(one: Hits, other: Hits, *, draws: int = DRAWS, seed: int = 0) -> Paired:
    """Top-1 of `one` minus that of `other`, both (seeds, clips) of right answers to the same clips by the same seeds.

    The interval is the paired bootstrap's over clips (Efron and Tibshirani 1993, percentile), a clip's difference being
    its mean over the seeds: it tells what other clips would have shown, not what further seeds would.
    """
    _check_pair(one, other)
    by_clip = 100.0 * (one.astype(np.float64) - other).mean(axis=0)
    each = tuple(round(mcnemar(a, b), 4) for a, b in zip(one, other, strict=True))
    return _bootstrapped(by_clip, draws, seed, each)


def by_class(hits: Hits, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Right answers (seeds, clips) -> shares (seeds, K) of right answers in each class that has a clip."""
    return np.stack([hits[:, labels == label].mean(axis=1) for label in np.unique(labels)], axis=1)


def class_difference(one: Hits, other: Hits, labels: NDArray[np.int64], *, draws: int = DRAWS, seed: int = 0) -> Paired:
    """As `paired_difference`, of the mean over classes: the interval is the bootstrap's over classes."""
    _check_pair(one, other)
    return _bootstrapped(100.0 * (by_class(one, labels) - by_class(other, labels)).mean(axis=0), draws, seed, ())


def mcnemar(one: Hits, other: Hits) -> float:
    """Two-sided exact p of as uneven a split of the clips that only one of two runs got right (McNemar 1947)."""
    wins, losses = int((one & ~other).sum()), int((other & ~one).sum())
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def _check_pair(one: Hits, other: Hits) -> None:
    if one.shape != other.shape or one.ndim != 2 or not one.size:
        raise InputError("answers cannot be paired", expected=one.shape, got=other.shape)


def _bootstrapped(values: NDArray[np.float64], draws: int, seed: int, each: tuple[float, ...]) -> Paired:
    """The mean of differences in points, and the percentile bootstrap's interval over them."""
    low = high = mean = float(values.mean())
    if len(values) > 1:
        random = np.random.default_rng(seed)
        found = stats.bootstrap((values,), np.mean, n_resamples=draws, batch=CHUNK, method="percentile", rng=random)
        low, high = found.confidence_interval
    return Paired(round(mean, 2), round(float(low), 2), round(float(high), 2), each)


@dataclass(frozen=True)
class Spread:
    """Top-1 in percent over seeds: mean, standard deviation (0 of one seed), least and greatest."""

    mean: float
    std: float
    least: float
    greatest: float
    seeds: int


def spread(hits: Hits | NDArray[np.float64]) -> Spread:
    """Of right answers (seeds, clips), or of the shares of them in each class (seeds, K)."""
    return spread_of(100.0 * hits.mean(axis=1))


def spread_of(percents: Sequence[float] | NDArray[np.float64]) -> Spread:
    """Of one figure a seed, two decimals."""
    top1 = np.asarray(percents, np.float64)
    std = float(top1.std(ddof=1)) if len(top1) > 1 else 0.0
    mean, std, least, greatest = (round(float(value), 2) for value in (top1.mean(), std, top1.min(), top1.max()))
    return Spread(mean, std, least, greatest, len(top1))


@dataclass(frozen=True)
class Answered:
    """Which clips of a split an artefact has right, or which gestures of its recordings it finds.

    name: as it was asked for. hits, labels, subjects: (clips,) or (gestures,). false_per_hour: of recordings.
    """

    name: str
    hits: Hits
    labels: NDArray[np.str_]
    subjects: NDArray[np.str_]
    false_per_hour: float | None = None


def answered(name: str, store: ClipStore, *, split: str = "test") -> Answered:
    """The right answers of a run or a bundle; `BUNDLE:int8` names its INT8 file, `BUNDLE` its FP32 one.

    Of a network for streams they are the gestures of the recordings that its events find, by the contest's protocol.
    Labels are matched by name. Raises `InputError` for labels that it never learnt, `UsageError` for a translator.
    """
    path, colon, precision = name.rpartition(":")
    place = Path(path if colon and precision in PRECISIONS else name)
    place = find_bundle(place) if not place.exists() else place
    bundle = Bundle.open(place) if is_bundle(place) or not place.exists() else None
    if bundle is not None:
        spec, labels = bundle.manifest.input, bundle.manifest.labels
        if not labels:
            raise UsageError("compare is for models that give classes", where=place)
    elif colon and precision == "int8":
        raise UsageError("a run has no INT8 file", where=place, hint="last-edge export, last-edge quantize")
    else:
        checkpoint = load_checkpoint(place)
        spec, labels = checkpoint.spec, checkpoint.labels
    check_points(store, spec)
    chosen = precision if colon and precision in PRECISIONS else "fp32"
    task = task_of(checkpoint.card.name) if bundle is None else task_of_bundle(bundle.manifest)
    own = task.labelled_as(store, labels, split)
    clips = task.clips(own, split)
    if task.by_frame and bundle is not None:
        return _found(name, own, rules_of(bundle), bundle_answers(bundle, own, clips, precision=chosen))
    if task.by_frame:
        return _found(name, own, read_rules(place), run_answers(place, own, clips))
    if bundle is not None:
        logits = np.asarray(deployed(bundle, chosen).answers(own, clips))
    else:
        logits = predict(checkpoint.model, own, clips, spec=spec)
    names = np.array(own.labels)[own.index.label[clips]]
    hits = np.asarray(logits.argmax(1) == own.index.label[clips])
    return Answered(name, hits, names, own.index.subject[clips].astype(str))


def _found(name: str, store: ClipStore, rules: SpanRules, by_frame: Sequence[FrameAnswers]) -> Answered:
    score, found = scored(rules, by_frame, store)
    rows = [
        (place in places, store.labels[label], str(store.index.subject[each.clip]))
        for each, places in zip(by_frame, found, strict=True)
        for place, label in enumerate(store.index.spans[each.clip][:, 0].tolist())
    ]
    hits, labels, subjects = zip(*rows, strict=True)
    false = score.to_dict(fps=store.fps)["false_per_hour"]
    return Answered(name, np.array(hits), np.array(labels), np.array(subjects), false)


def compared(one: Answered, other: Answered) -> dict[str, Any]:
    """`one` above `other`: the difference in points of top-1, its 95 % interval, McNemar's p, and who and what differs.

    Of recordings in points of the gestures found, beside `false_per_hour`. `UsageError` for one artefact of clips and
    one of recordings. by_class, by_subject: points, wins and losses of each that differs, the most first.
    """
    streams = one.false_per_hour is not None
    if streams != (other.false_per_hour is not None):
        raise UsageError("one answers clips, the other recordings", got=f"{one.name}, {other.name}",
                         hint="last-edge eval --stream of each, on recordings of its own")  # fmt: skip
    found = paired_difference(one.hits[None], other.hits[None])
    p = mcnemar(one.hits, other.hits)
    names = {"by_class": one.labels, "by_subject": one.subjects}
    groups = {}
    for kind, of in names.items():
        rows = {}
        for name in np.unique(of):
            wins, losses = (
                int((a & ~b)[of == name].sum()) for a, b in ((one.hits, other.hits), (other.hits, one.hits))
            )
            if wins or losses:
                points = round(100 * (wins - losses) / int((of == name).sum()), 2)
                rows[str(name)] = {"points": points, "wins": wins, "losses": losses}
        groups[kind] = dict(sorted(rows.items(), key=lambda row: -abs(row[1]["points"])))
    return {
        "one": one.name,
        "other": other.name,
        "found" if streams else "top1": [round(100 * float(answers.hits.mean()), 2) for answers in (one, other)],
        **({"false_per_hour": [one.false_per_hour, other.false_per_hour]} if streams else {}),
        "difference": found.points,
        "interval": [found.low, found.high],
        "p": round(p, 4),
        "n": len(one.hits),
        "same_answers": round(100 * float((one.hits == other.hits).mean()), 2),
        "verdict": "a difference is shown" if found.clear and p < SIGNIFICANT else "no difference shown",
        **groups,
    }
