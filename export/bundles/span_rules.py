"""Rules that turn a streaming network's answers into spans, found on recordings that its weights did not learn from."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.bundle.manifest import SPANS
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import of_people
from last_edge.errors import InputError, UsageError
from last_edge.export.proof.span_events import FrameAnswers, annotated, at_threshold, score_of, span_in_frames
from last_edge.logits import softmax
from last_edge.models.last_lite_stream import LastLiteStream
from last_edge.runtime.recognise.span_score import SpanScore
from last_edge.runtime.recognise.spans import Candidate, SpanDecoder, SpanRules, candidates_of
from last_edge.tasks.plan import stream_plan
from last_edge.tasks.registry import STREAMING
from last_edge.tasks.stream.frames import without_unknown
from last_edge.tasks.stream.learner import stream_answers
from last_edge.train.checkpoint import RECIPE, Which, checkpoint_folder, load_checkpoint, task_of_run
from last_edge.train.recipe import load_recipe

RULES = SPANS
"""Beside a run's checkpoints."""
ONS, OFFS, SMOOTHINGS, HOLDS = (0.5, 0.65, 0.8), (0.3, 0.5, 0.75), (0.5, 1.0), (1, 2)
LEAST, SURE = (0.2, 0.4, 0.6, 0.8), (0.0, 0.4, 0.5, 0.6, 0.7)
WIDER = (0.0, 0.02, 0.04, 0.08)
"""Seconds that spans are made longer at either end: people who are not known may do or show a gesture for longer."""
BRIEF = 5
"""Percentile of a label's lengths of which its least length is a share."""
EARLY, EARLY_WRONG = np.arange(0.3, 0.96, 0.05), 0.05


@dataclass(frozen=True)
class Found:
    """Rules, and what they score where they were found. recordings: how many these were."""

    rules: SpanRules
    score: dict[str, Any]
    recordings: int


def is_streamer(path: Path) -> bool:
    """Whether a run or checkpoint is of a model that answers at every frame."""
    try:
        return task_of_run(path).by_frame
    except InputError:
        return False


def run_answers(run: Path, store: ClipStore, clips: NDArray[np.int64], *, which: Which = "best") -> list[FrameAnswers]:
    """What a run's checkpoint says of some recordings."""
    model = cast(LastLiteStream, load_checkpoint(run, which).model)
    return [
        FrameAnswers(clip, softmax(logits), elapsed.astype(np.float64), model.delay / model.rate)
        for clip, logits, elapsed, _ in stream_answers(model, store, clips)
    ]


def held_out(run: Path, store: ClipStore) -> NDArray[np.int64]:
    """The recordings that validated a run; `UsageError` where it learnt from all of them."""
    clips = stream_plan(store, load_recipe(str(checkpoint_folder(run) / RECIPE))).val
    if not len(clips):
        hint = "last-edge train ... --set validation.subjects=NAMES, then fit-spans RUN --held-out THAT_RUN"
        raise UsageError("a run that held nothing out cannot say what its answers are worth", where=run, hint=hint)
    return clips


Report = Callable[[int, int], None]
"""Called with how many rules of the grid were tried, and how many there are."""


def fit_rules(
    run: Path, store: ClipStore, *, others: Sequence[Path] = (), subjects: Sequence[str] = (),
    false_costs: float = 1.0, report: Report = lambda tried, of: None,
) -> Found:  # fmt: skip
    """Rules for a run, found on what it held out itself, or what other runs of the same recipe did.

    subjects: only these of the people held out. false_costs: found gestures that one false event outweighs. Raises
    `InputError`, `UsageError`.
    """
    checkpoint = load_checkpoint(run)
    answers: list[FrameAnswers] = []
    for each in others or (run,):
        labels = load_checkpoint(each).labels
        if labels != checkpoint.labels:
            raise InputError("the runs have other labels", where=each, expected=checkpoint.labels, got=labels)
        store = STREAMING.check_store(store, checkpoint.spec, labels)
        clips = of_people(store, held_out(each, store), subjects, missing="was held out", where=each)
        answers += run_answers(each, store, clips)
    rate = cast(LastLiteStream, checkpoint.model).rate
    return rules_for(answers, store, labels=checkpoint.labels[:-1], rate=rate, false_costs=false_costs, report=report)


def rules_for(
    answers: Sequence[FrameAnswers], store: ClipStore, *, labels: tuple[str, ...], rate: float,
    false_costs: float = 1.0, report: Report = lambda tried, of: None,
) -> Found:  # fmt: skip
    """The best of a grid: detections less false events and half the Jaccard index more."""
    brief = _brief(store, labels)
    best: tuple[float, SpanRules] | None = None
    grid = list(itertools.product(ONS, OFFS, SMOOTHINGS, HOLDS))
    for tried, (on, off, smoothing, hold) in enumerate(grid):
        report(tried, len(grid))
        plain = SpanRules(labels, rate, on, on * off, hold, smoothing, 0.0, tuple(brief.tolist()), 0.0, 0.0)
        found = {
            each.clip: candidates_of(SpanDecoder(plain, each.delay_s), each.probabilities, each.elapsed_s)
            for each in answers
        }
        start_s, end_s = _shifts(found, store, labels)
        for wider, least, sure in itertools.product(WIDER, LEAST, SURE):
            rules = replace(
                plain, sure=sure, least_s=tuple((least * brief).tolist()), start_s=start_s - wider, end_s=end_s + wider
            )
            value = _value(_score(rules, found, store), false_costs)
            if best is None or value > best[0]:
                best = value, rules
    assert best is not None
    report(len(grid), len(grid))
    rules = _with_early(best[1], answers, store)
    return Found(rules, score_of(rules, answers, store), len(answers))


def _brief(store: ClipStore, labels: tuple[str, ...]) -> NDArray[np.float64]:
    """(K,) seconds that few gestures of a label are shorter than, of the training recordings."""
    lengths: dict[str, list[float]] = {label: [] for label in labels}
    for clip in store.recordings("train"):
        for label, first, last in store.index.spans[clip].tolist():
            lengths.setdefault(store.labels[label], []).append((last - first + 1) / float(store.index.fps[clip]))
    return np.array([np.percentile(lengths[label], BRIEF) if lengths[label] else 0.0 for label in labels])


def _shifts(
    found: dict[int, list[Candidate]], store: ClipStore, labels: tuple[str, ...]
) -> tuple[float, float]:  # fmt: skip
    """Seconds that beginnings and ends are early, medians over all gestures."""
    moved = []
    for clip, candidates in found.items():
        fps = float(store.index.fps[clip])
        for label, first, last in store.index.spans[clip].tolist():
            for each in candidates:
                same = labels[each.label] == store.labels[label]
                if same and each.end_s * fps >= first and each.start_s * fps <= last:
                    moved.append((first / fps - each.start_s, last / fps - each.end_s))
    start_s, end_s = np.median(moved, axis=0).tolist() if moved else (0.0, 0.0)
    return start_s, end_s


def _score(rules: SpanRules, found: dict[int, list[Candidate]], store: ClipStore) -> SpanScore:
    """Of candidates found without shifts, which are put on here."""
    score = SpanScore(step=1.0)
    decoder = SpanDecoder(rules)
    for clip, candidates in found.items():
        fps, spans = float(store.index.fps[clip]), []
        for each in candidates:
            start_s = max(each.start_s + rules.start_s, 0.0)
            moved = replace(each, start_s=start_s, end_s=max(each.end_s + rules.end_s, start_s))
            if (event := decoder.accepted(moved)) is not None:
                spans.append(span_in_frames(event.label, event.start_s, event.end_s, fps))
        score.add(spans, annotated(store, clip))
    return score


def _value(score: SpanScore, false_costs: float) -> float:
    figures = score.to_dict(fps=1.0)
    wrong = float(figures["false_positives_and_misclassified"] or 0.0)
    return float(figures["detection"] or 0.0) - false_costs * wrong + 0.5 * float(figures["jaccard"] or 0.0)


def _with_early(rules: SpanRules, answers: Sequence[FrameAnswers], store: ClipStore) -> SpanRules:
    """With the least mean probability at which labels can be told early and `EARLY_WRONG` of them at most are wrong."""
    for early in EARLY.tolist():
        tried, told, wrong = replace(rules, early=early), 0, 0
        for each in answers:
            fps = float(store.index.fps[each.clip])
            decoder, before = SpanDecoder(tried, each.delay_s), None
            for frame, (row, seconds) in enumerate(zip(each.probabilities, each.elapsed_s.tolist(), strict=True)):
                decoder.candidate(row, seconds, frame / rules.rate + each.delay_s)
                if decoder.told is not None and before is None:
                    at = frame / rules.rate * fps
                    shown = [span for span in annotated(store, each.clip) if span.start_s <= at <= span.end_s + fps / 2]
                    told, wrong = told + 1, wrong + (decoder.told not in [span.label for span in shown])
                before = decoder.told
        if told and wrong <= EARLY_WRONG * told:
            return replace(tried, early_wrong=wrong / told)
    return rules


def write_rules(run: Path, found: Found) -> Path:
    """RUN/spans.json."""
    path = run / RULES
    records.save(found.rules, path)
    return path


def read_rules(run: Path) -> SpanRules:
    """Those of a run, or of the run that a checkpoint folder lies in; `InputError` where none were found yet."""
    for folder in (run, run.parent.parent):
        if (folder / RULES).is_file():
            return records.load(SpanRules, folder / RULES)
    hint = f"last-edge fit-spans {run} --store STORE"
    raise InputError("no rules for spans beside this run", where=run, expected=RULES, hint=hint)


def evaluate_spans(
    run: Path, store: ClipStore, *, split: str, which: Which = "best", unknown: Sequence[str] = (),
    threshold: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The contest's figures of a run's events on the recordings of a split. unknown, threshold: as of a bundle."""
    checkpoint, rules = load_checkpoint(run, which), at_threshold(read_rules(run), threshold)
    store = STREAMING.labelled_as(without_unknown(store, checkpoint.labels, unknown), checkpoint.labels, split)
    chosen = STREAMING.clips(store, split)
    answers = run_answers(run, store, chosen, which=which)
    return {
        "split": split,
        "recordings": len(chosen),
        "early_wrong": rules.early_wrong,
        **score_of(rules, answers, store),
    }
