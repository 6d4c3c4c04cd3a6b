"""What held-out answers are worth: accuracy with its interval, what is taken for what, what to record next; a page."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore
from last_edge.export.bundles.thresholds import fit_energy, fit_temperature
from last_edge.logits import energy, softmax
from last_edge.names import is_background
from last_edge.runtime.recognise.decoding import USUAL_THRESHOLD, OperatingPoint, Row, choose_point
from last_edge.runtime.recognise.stream import RecogniseOptions
from last_edge.tasks.metrics import confusion, percent, wilson
from last_edge.tools.operating import curves_of
from last_edge.tools.output import markdown
from last_edge.tools.teach.folds import HeldOut

OFTEN = 0.15
"""Share of a gesture's takes, taken for one other gesture, from which more takes are asked for."""
MORE, ENOUGH = 10, 8
RIGHT, KEPT = 95.0, 90.0
"""Percent of reported answers that should be right, and of right answers that the threshold must keep."""


@dataclass(frozen=True)
class Figures:
    """Held-out figures of a teaching.

    by: what was left out, `people` or `takes`. top1, low, high: percent of the gestures' takes recognised, with the 95%
    interval. by_label, by_person: percent. taken_for: (gesture, what it was taken for, how often, of how many), the
    most frequent first. background: clips without a gesture; called: percent of them that would have been an event.
    thresholds: of the bundle, fitted on these answers. operating: its curves on streams of these takes, see
    `last_edge.tools.operating`. advice: what to do next.
    """

    by: str
    folds: int
    people: int
    n: int
    right: int
    top1: float
    low: float
    high: float
    by_label: dict[str, float]
    by_person: dict[str, float]
    taken_for: tuple[tuple[str, str, int, int], ...]
    background: int
    called: float
    thresholds: dict[str, float]
    operating: dict[str, tuple[Row, ...]] = field(default_factory=dict)
    advice: tuple[str, ...] = field(default=())

    def sentence(self) -> str:
        """The result as one says it."""
        left = f"{self.people} people, each left out once" if self.by == "people" else (
            f"takes left out of training, {self.folds} folds"
        )  # fmt: skip
        said = f"{self.top1:.1f}% of {self.n} takes right ({self.low:.1f} to {self.high:.1f}): {left}"
        if self.background:
            said += f"; {self.called:.1f}% of {self.background} other motions would be taken for a gesture"
        return said

    @property
    def working(self) -> OperatingPoint | None:
        """What `run` works at unasked; None where there are too few takes for a stream."""
        return choose_point(self.operating, RecogniseOptions().decode)

    def stream_sentence(self) -> str:
        """What to expect of a stream, as one says it; "" where it was not measured."""
        point = self.working
        if point is None:
            return ""
        minutes = 60 * self.thresholds["stream_hours"]
        return (
            f"on {minutes:.0f} minutes of streams of them and of other motions {point.detection:.0f}% of the gestures "
            f"were found at {point.false_per_hour:.0f} false events an hour; run --false-alarms-per-hour N changes it"
        )

    def in_manifest(self) -> dict[str, Any]:
        """The figures that a bundle carries."""
        return {"by": self.by, "folds": self.folds, "people": self.people, "n": self.n, "top1": self.top1,
                "low": self.low, "high": self.high, "background": self.background, "called": self.called}  # fmt: skip


def figures_of(held: HeldOut, store: ClipStore, *, given: Sequence[str]) -> Figures:
    """Figures of held-out answers. given: labels that were recorded; the others are shipped background."""
    truth, quiet = store.index.label[held.clips], background_classes(store.labels)
    other = np.isin(truth, list(quiet))
    own, labels = ~other, truth[~other]
    right = held.logits[own].argmax(1) == labels
    who = store.index.subject[held.clips[own]].astype(str)
    people = sorted(set(who.tolist()))
    thresholds = fit_thresholds(held.logits, truth, quiet)
    operating, counted = curves_of(held.streams, labels=store.labels, temperature=thresholds["temperature"])
    low, high = wilson(int(right.sum()), len(right))
    taken = taken_for(held.logits[own], labels, store.labels)
    counts = {store.labels[label]: int((labels == label).sum()) for label in np.unique(labels)}
    figures = Figures(
        by=held.by,
        folds=held.folds,
        people=len(people),
        n=len(right),
        right=int(right.sum()),
        top1=percent(right),
        low=low,
        high=high,
        by_label={name: percent(right[labels == store.labels.index(name)]) for name in counts},
        by_person={name: percent(right[who == name]) for name in people},
        taken_for=taken,
        background=int(other.sum()),
        called=percent(calls(held.logits[other], quiet, thresholds)),
        thresholds={**thresholds, **counted},
        operating=operating,
    )
    advice = advise(figures, counts, own_background=any(is_background(name) for name in given))
    return Figures(**{**figures.__dict__, "advice": advice})


def background_classes(labels: Sequence[str]) -> frozenset[int]:
    """Places of the labels that mean that nothing is shown."""
    return frozenset(place for place, label in enumerate(labels) if is_background(label))


def calls(logits: NDArray[np.float32], quiet: frozenset[int], thresholds: dict[str, float]) -> NDArray[np.bool_]:
    """(n,) whether answers (n, K) would be events: a gesture, sure enough, of a motion that was taught."""
    if not len(logits):
        return np.zeros(0, np.bool_)
    temperature = thresholds.get("temperature", 1.0)
    sure = softmax(logits / np.float32(temperature)).max(1) >= thresholds.get("accept", USUAL_THRESHOLD)
    known = energy(logits, temperature) >= thresholds.get("energy", -np.inf)
    return np.asarray(sure & known & ~np.isin(logits.argmax(1), list(quiet)))


def fit_thresholds(logits: NDArray[np.float32], labels: NDArray[np.int64], quiet: frozenset[int]) -> dict[str, float]:
    """Temperature, least energy and least probability from held-out answers (n, K) and classes (n,), background among
    them where there is any.

    The least probability is the lowest at which 95% of the reported gestures are right, if that keeps 90% of the right
    ones; where no such is, the one that keeps them.
    """
    temperature = fit_temperature(logits, labels)
    other, answers = np.isin(labels, list(quiet)), logits.argmax(1)
    right = (answers == labels) & ~other
    found = {"temperature": temperature}
    found |= fit_energy(energy(logits[right], temperature), energy(logits[other], temperature))
    sure = softmax(logits / np.float32(temperature)).max(1)
    reported = ~np.isin(answers, list(quiet)) & (energy(logits, temperature) >= found.get("energy", -np.inf))
    if not (right & reported).any():
        return found
    most = float(np.percentile(sure[right & reported], 100 - KEPT))
    lowest = [
        float(least) for least in np.unique(np.floor(sure[reported] * 1000) / 1000)
        if 100 * right[reported & (sure >= least)].mean() >= RIGHT
    ]  # fmt: skip
    accept = min(lowest[0] if lowest else most, most)
    accept = max(accept, min(USUAL_THRESHOLD, most))
    accepted = reported & (sure >= accept)
    return {
        **found,
        "accept": round(np.floor(accept * 1000) / 1000, 3),
        "accept_right": percent(right[accepted]),
        "accept_share": percent(accepted[~other]),
        "accept_clips": float(len(labels)),
    }


def taken_for(
    logits: NDArray[np.float32], labels: NDArray[np.int64], names: Sequence[str]
) -> tuple[tuple[str, str, int, int], ...]:
    """(gesture, taken for, how often, of how many), the most frequent first."""
    table = confusion(logits, labels)
    rows = [
        (names[one], names[other], int(table[one, other]), int(table[one].sum()))
        for one, other in zip(*np.nonzero(table), strict=True) if one != other
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: (-row[2] / row[3], row[0], row[1])))


def advise(figures: Figures, counts: dict[str, int], *, own_background: bool) -> tuple[str, ...]:
    """What would make the next teaching better, the most useful first."""
    said = []
    for one, other, times, of in figures.taken_for:
        if times > 1 and times / of >= OFTEN:
            how = "that it never shows as an event in" if is_background(other) else f"taken for {other} in"
            said.append(f"record {MORE} more of {one}: it is {how} {times} of {of}".replace("it is that it", "it"))
    said += [
        f"record {ENOUGH - count} more of {label}: {count} takes are few" for label, count in counts.items()
        if count < ENOUGH
    ]  # fmt: skip
    if figures.people < 2:
        said.append("one person only: expect less with others; takes of a second person show how much less")
    elif figures.by == "takes":
        said.append("not every gesture has takes of two people: what others may expect was not measured")
    else:
        worst = min(figures.by_person, key=lambda name: figures.by_person[name])
        share = figures.by_person[worst]
        if share < figures.low:
            said.append(f"record more people like {worst}: only {share:.0f}% of their takes are right")
    if not own_background:
        said.append("record takes of 'nothing', resting and everyday motions: they keep the bundle silent")
    return tuple(said)


@dataclass(frozen=True)
class Taught:
    """What came of a teaching. bundle: the folder. held_out: see `Figures.in_manifest`. sentence: the same in words.
    on_streams: what to expect of a stream, "" where it was not measured. base: what it started from, "" for nothing.
    int8: whether the bundle has an INT8 file, or why not.
    """

    bundle: str
    labels: tuple[str, ...]
    takes: dict[str, dict[str, int]]
    base: str
    held_out: dict[str, Any]
    sentence: str
    on_streams: str
    taken_for: list[list[Any]]
    advice: list[str]
    warnings: list[str]
    int8: str
    report: str
    run: str
    schema_version: int = field(default=1)


def report_of(taught: Taught, figures: Figures) -> str:
    """Markdown."""
    count = {label: sum(own.values()) for label, own in taught.takes.items()}
    rows: dict[str, list[Any]] = {
        "gesture": list(figures.by_label),
        "takes": [count.get(label, 0) for label in figures.by_label],
        "recognised %": [f"{share:.0f}" for share in figures.by_label.values()],
        "taken for": [
            ", ".join(f"{other} {times}" for one, other, times, _ in figures.taken_for if one == label)
            for label in figures.by_label
        ],
    }
    parts = [
        f"# {', '.join(taught.labels)}",
        f"{figures.sentence()}. Training accuracy is not reported: it says nothing about the next take.",
        _sentence(figures.stream_sentence()),
        markdown(rows),
        "## Next\n\n" + "".join(f"- {line}\n" for line in [*taught.advice, *taught.warnings]),
        f"Started from {taught.base or 'nothing'}; INT8: {taught.int8}.\n\n```sh\n{taught.run}\n```\n",
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _sentence(text: str) -> str:
    return text and f"{text[0].upper()}{text[1:]}."
