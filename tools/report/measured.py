"""What a report measures on a store beside accuracy: paired comparisons of files, and events on long recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from last_edge.clips.compose import Stream, compose
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points, labelled_as, labelled_clips
from last_edge.runtime.recognise.stream import RecogniseOptions
from last_edge.runtime.recognise.stream_eval import evaluate_streams
from last_edge.runtime.recogniser import Recogniser
from last_edge.tools.experiments.compare import Answered, answered, compared
from last_edge.tools.report.collect import BundleResult, Collection
from last_edge.tools.report.rows import Row

SPLIT = "test"
SHOWN_S = 60.0
LEAST_SHOWN = 0.15
"""Highest probability that a class must reach to have a line of its own in a timeline."""
EVENTS = ("minutes", "gestures", "detection", "false_positives", "jaccard", "delay_frames", "false_per_hour",
          "detection_rate", "delay_p50_s")  # fmt: skip


def comparisons(found: Collection, stores: Sequence[ClipStore], rows: Sequence[Row], best: Sequence[int]) -> list[Any]:
    """INT8 against FP32 of each bundle, and each recommended file against the best of every other bundle of its task.

    best: numbers of the recommended rows. Only files that one of the stores measures are compared.
    """
    made: dict[tuple[str, str], Answered] = {}
    pairs: list[tuple[tuple[str, str], tuple[str, str], ClipStore]] = []
    fitting = {str(result.path): store for result in found.bundles for store in stores if _measured_on(result, store)}
    for result in found.bundles:
        path = str(result.path)
        if path in fitting and {"fp32", "int8"} <= set(result.measured):
            pairs.append(((path, "int8"), (path, "fp32"), fitting[path]))
    for chosen in (rows[number - 1] for number in best if rows[number - 1].artefact in fitting):
        store = fitting[chosen.artefact]
        for path, its in fitting.items():
            own = [row for row in rows if row.artefact == path and row.top1 is not None and row.task == chosen.task]
            if path != chosen.artefact and its.sha256 == store.sha256 and own:
                best_of_it = max(own, key=lambda row: row.top1 or 0.0)
                pairs.append(((chosen.artefact, chosen.precision), (path, best_of_it.precision), store))
    results = []
    for one, other, store in pairs:
        for name in (one, other):
            if name not in made:
                made[name] = answered(":".join(name), store, split=SPLIT)
        results.append({**compared(made[one], made[other]), "store_sha256": store.sha256, "split": SPLIT})
    return results


def _measured_on(result: BundleResult, store: ClipStore) -> bool:
    return bool(result.measured) and not result.translates and result.store_sha256 == store.sha256


def streams(found: Collection, stores: Sequence[ClipStore], *, gestures: int) -> list[Any]:
    """Events of each measured bundle on recordings composed of test clips, and the first minute of one of them."""
    return [
        _events(result, store, gestures=gestures)
        for result in found.bundles
        for store in stores
        if gestures and _measured_on(result, store)
    ]


def _events(result: BundleResult, store: ClipStore, *, gestures: int) -> dict[str, Any]:
    model = Recogniser.open(result.path)
    check_points(store, model.spec)
    own = labelled_as(store, model.labels, SPLIT)
    played = compose(own, labelled_clips(own, SPLIT), count=gestures, seed=0)
    options = RecogniseOptions()
    score = evaluate_streams(model, played, layout=own.layout, units=own.units, options=options)
    return {
        "artefact": str(result.path),
        "precision": model.precision,
        "store_sha256": store.sha256,
        "figures": {name: score[name] for name in EVENTS},
        "timeline": timeline(model, played[0], own, options),
    }


def timeline(model: Recogniser, played: Stream, store: ClipStore, options: RecogniseOptions) -> dict[str, Any]:
    """The first minute of a stream: what was done, what was answered, and the probabilities that led there."""
    stream = model.stream(layout=store.layout, units=store.units, options=options)
    moments: list[float] = []
    guesses: list[dict[str, float]] = []
    events: list[dict[str, Any]] = []
    for frame, moment in enumerate(played.times.tolist()):
        if moment > SHOWN_S:
            break
        for event in stream.push(played.points[:, frame], moment):
            events.append({"label": event.label, "start_s": round(event.start_s, 3), "end_s": round(event.end_s, 3)})
        now = stream.current
        if now is not None and (not moments or now.end_s > moments[-1]):
            moments.append(round(now.end_s, 3))
            guesses.append({guess.label: guess.probability for guess in now.top})
    shown = [name for name in model.labels if any(row.get(name, 0.0) > LEAST_SHOWN for row in guesses)]
    truth = [
        {"label": span.label, "start_s": round(span.start_s, 3), "end_s": round(span.end_s, 3)}
        for span in played.spans
        if span.start_s < SHOWN_S
    ]
    posteriors = {name: [round(row.get(name, 0.0), 3) for row in guesses] for name in shown}
    return {
        "person": played.subject, "truth": truth, "events": events, "moments_s": moments, "posteriors": posteriors,
    }  # fmt: skip


def changes(result: BundleResult, kind: str) -> Iterator[tuple[str, float, float]]:
    """Name, FP32 and INT8 figure of each class (`per_class`) or person (`per_subject`), the largest change first."""
    one, other = (result.measured.get(precision, {}).get(kind, {}) for precision in ("fp32", "int8"))
    both = [(str(name), float(one[name]), float(other[name])) for name in one if name in other]
    yield from sorted(both, key=lambda row: (-abs(row[2] - row[1]), row[0]))


def open_stores(paths: Sequence[Path]) -> list[ClipStore]:
    """The stores, each opened once."""
    return [ClipStore.open(path) for path in dict.fromkeys(paths)]
