"""What a bundle's file says of long recordings, and what the events of that score; torch is not needed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import SPANS, Manifest
from last_edge.clips.compose import Span
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import rate_answers
from last_edge.errors import InputError
from last_edge.logits import softmax
from last_edge.runtime.backends.stepper import Stepper
from last_edge.runtime.recognise.model import open_stepper, span_rules
from last_edge.runtime.recognise.span_score import SpanScore
from last_edge.runtime.recognise.spans import SpanRules, events_of
from last_edge.tasks.registry import STREAMING
from last_edge.tasks.stream.frames import without_unknown


@dataclass(frozen=True)
class FrameAnswers:
    """A recording and what a network says of each frame, at the network's rate, `delay_s` after it."""

    clip: int
    probabilities: NDArray[np.float64]
    elapsed_s: NDArray[np.float64]
    delay_s: float


def bundle_answers(
    bundle: Bundle, store: ClipStore, clips: NDArray[np.int64], *, precision: str = "fp32"
) -> list[FrameAnswers]:
    """What a bundle's file says of some recordings."""
    assert (stream := bundle.manifest.stream) is not None
    said = stepper_answers(open_stepper(bundle, bundle.graph(precision)), bundle.manifest, store, clips)
    return as_frame_answers(said, clips, delay_s=stream.delay_s)


def stepper_answers(
    stepper: Stepper, manifest: Manifest, store: ClipStore, clips: NDArray[np.int64]
) -> list[NDArray[np.float32]]:
    """What a graph says of each recording's frames at its own rate, (T, K + 1): the logits, and the seconds behind."""
    assert (stream := manifest.stream) is not None

    def answer(points: NDArray[np.float32]) -> NDArray[np.float32]:
        found, _ = stepper.frames(points)
        return np.concatenate([found.logits, found.elapsed[..., None]], axis=2)

    return rate_answers(answer, store, clips, manifest.input, rate=stream.rate, delay=stream.delay)


def as_frame_answers(
    said: Sequence[NDArray[np.float32]], clips: NDArray[np.int64], *, delay_s: float
) -> list[FrameAnswers]:
    """What `stepper_answers` gives, with probabilities in place of logits."""
    return [
        FrameAnswers(clip, softmax(own[:, :-1]), own[:, -1].astype(np.float64), delay_s)
        for clip, own in zip(clips.tolist(), said, strict=True)
    ]


def rules_of(bundle: Bundle) -> SpanRules:
    """A bundle's rules; `InputError` where it has none."""
    if (rules := span_rules(bundle)) is None:
        hint = "last-edge fit-spans RUN --store STORE, then last-edge export RUN --out BUNDLE"
        raise InputError("no rules for spans in this bundle", where=bundle.path, expected=SPANS, hint=hint)
    return rules


def evaluate_bundle_spans(
    bundle: Bundle, store: ClipStore, *, split: str = "test", precision: str = "fp32", unknown: Sequence[str] = (),
    threshold: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The contest's figures of a bundle's events on the recordings of a split; `InputError` without rules in it.

    unknown: see `without_unknown`. threshold: see `at_threshold`.
    """
    rules, labels = at_threshold(rules_of(bundle), threshold), bundle.manifest.labels
    store = STREAMING.labelled_as(without_unknown(store, labels, unknown), labels, split)
    chosen = STREAMING.clips(store, split)
    answers = bundle_answers(bundle, store, chosen, precision=precision)
    about = {"split": split, "precision": precision, "recordings": len(chosen), "early_wrong": rules.early_wrong}
    return {**about, **score_of(rules, answers, store)}


def at_threshold(rules: SpanRules, threshold: float | None) -> SpanRules:
    """The rules with a least mean probability of an event, where it is more than their own, as in `run`."""
    return rules if threshold is None else replace(rules, sure=max(rules.sure, threshold))


def scored(
    rules: SpanRules, answers: Sequence[FrameAnswers], store: ClipStore
) -> tuple[SpanScore, list[frozenset[int]]]:
    """Recordings by the contest's protocol, and of each the places of its gestures that were found."""
    score, found = SpanScore(step=1.0), []
    for each in answers:
        fps = float(store.index.fps[each.clip])
        events = events_of(rules, each.probabilities, each.elapsed_s, each.delay_s)
        found.append(score.add(
            [span_in_frames(event.label, event.start_s, event.end_s, fps) for event in events],
            annotated(store, each.clip),
            seconds=float(store.index.length[each.clip]) / fps,
            decided=[event.decided_s * fps for event in events],
            told=[(event.decided_s if event.told_s is None else event.told_s) * fps for event in events],
        ))  # fmt: skip
    return score, found


def score_of(rules: SpanRules, answers: Sequence[FrameAnswers], store: ClipStore) -> dict[str, Any]:
    """The contest's figures over recordings, in frames of the recordings, and by class."""
    score, _ = scored(rules, answers, store)
    return {**score.to_dict(fps=store.fps), "gestures": score.annotated.total(), "by_class": score.by_class()}


def annotated(store: ClipStore, clip: int) -> list[Span]:
    """A recording's gestures in frames."""
    return [Span(store.labels[label], first, last) for label, first, last in store.index.spans[clip].tolist()]


def span_in_frames(label: str, start_s: float, end_s: float, fps: float) -> Span:
    """An event in frames of its recording."""
    return Span(label, round(start_s * fps), round(end_s * fps))
