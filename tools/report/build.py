"""A report from what was asked of it: what is measured on a store, and all of it once more by the same words."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from last_edge import records
from last_edge.bundle.manifest import translates
from last_edge.clips.compose import Span, Stream, compose
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points, labelled_as, labelled_clips
from last_edge.export.proof.span_events import annotated, bundle_answers, rules_of
from last_edge.files import sha256_of
from last_edge.runtime.backends import OnnxRuntimeCpu
from last_edge.runtime.recognise.model import usual_precision
from last_edge.runtime.recognise.spans import events_of
from last_edge.runtime.recognise.stream import RecogniseOptions
from last_edge.runtime.recognise.stream_eval import evaluate_streams
from last_edge.runtime.recogniser import Recogniser
from last_edge.tools.bench.record import BenchRecord
from last_edge.tools.experiments.compare import Answered, answered, compared
from last_edge.tools.report.collect import BundleResult, Collection, collect, with_accuracy, with_latency
from last_edge.tools.report.decisions import decisions
from last_edge.tools.report.render import Report, make_report
from last_edge.tools.report.rows import Budget, Row, choose, make_rows

SPLIT = "test"
SHOWN_S = 60.0
LEAST_SHOWN = 0.15
"""Highest probability that a class must reach to have a line of its own in a timeline."""
EVENTS = ("minutes", "gestures", "detection", "false_positives", "jaccard", "delay_frames", "false_per_hour",
          "detection_rate", "delay_p50_s")  # fmt: skip
SPAN_EVENTS = ("recordings", "gestures", "detection", "false_positives", "false_positives_and_misclassified", "jaccard",
               "jaccard_counts", "delay_frames", "told_frames", "told_after_end_frames", "false_per_hour")  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What a report is to be about.

    paths: runs, bundles and folders. stores: where exported files are measured. ablations: held against the rules.
    bench: time files that have no record. threads: of the model meanwhile. gestures: clips of the composed
    recordings, 0 for none. budget_ms, budget_kb: what the device affords.
    """

    paths: tuple[str, ...]
    stores: tuple[str, ...] = ()
    ablations: tuple[str, ...] = ()
    bench: bool = True
    threads: int = 1
    gestures: int = 0
    budget_ms: float | None = None
    budget_kb: float | None = None


def gather(asked: Asked) -> Collection:
    """Everything that lies under the paths, measured on the stores, and timed where no record is at hand."""
    found = collect([Path(path) for path in asked.paths])
    found = with_accuracy(found, open_stores(list(map(Path, asked.stores))))
    return with_latency(found, threads=asked.threads) if asked.bench else found


def build(asked: Asked, found: Collection, *, title: str, environment: dict[str, Any], command: str = "") -> Report:
    """The whole report as plain values; nothing is timed here."""
    stores = open_stores(list(map(Path, asked.stores)))
    rows = make_rows(found)
    choices = choose(rows, Budget(asked.budget_ms, asked.budget_kb))
    best = [choice["recommended"] for choice in choices if choice["recommended"] is not None]
    report = make_report(
        found, title=title, environment=environment, command=command,
        decisions=[decisions(Path(path)) for path in asked.ablations],
    )  # fmt: skip
    return report | {
        "asked": records.to_dict(asked),
        "choices": choices,
        "comparisons": comparisons(found, stores, rows, best),
        "streams": streams(found, stores, gestures=asked.gestures),
        "stores": {
            str(store.path): {"sha256": store.sha256, "layout": store.layout.name, "clips": len(store)}
            for store in stores
        },
        "files": found.files | {path: sha256_of(Path(path)) for path in asked.ablations},
    }


def with_records(found: Collection, timed: list[BenchRecord]) -> Collection:
    """The collection with these bench records in the place of its own for the same graphs."""
    fresh: dict[str, list[BenchRecord]] = {}
    for record in timed:
        fresh.setdefault(record.artefact_sha256, []).append(record)
    return dataclasses.replace(found, bench={**found.bench, **fresh})


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
    return bool(result.measured) and not translates(result.bundle.manifest) and result.store_sha256 == store.sha256


def streams(found: Collection, stores: Sequence[ClipStore], *, gestures: int) -> list[Any]:
    """Events of each measured bundle on recordings composed of test clips, of one that answers at every frame on the
    store's own, and the first minute of one of them."""
    fitting = [(result, store) for result in found.bundles for store in stores if _measured_on(result, store)]
    own = [_recorded(result, store) for result, store in fitting if result.task.by_frame]
    return own + [
        _events(result, store, gestures=gestures) for result, store in fitting if gestures and not result.task.by_frame
    ]


def _recorded(result: BundleResult, store: ClipStore) -> dict[str, Any]:
    """Of a bundle that answers at every frame: what was measured, and the test recording that shows most gestures."""
    precision = usual_precision(result.bundle, OnnxRuntimeCpu.name)
    clips = store.recordings(SPLIT)
    most = clips[np.argmax([len(store.index.spans[clip]) for clip in clips])]
    (answer,) = bundle_answers(result.bundle, store, np.array([most]), precision=precision)
    rules, fps = rules_of(result.bundle), float(store.index.fps[most])
    truth = [Span(span.label, span.start_s / fps, span.end_s / fps) for span in annotated(store, int(most))]
    events = [
        Span(event.label, event.start_s, event.end_s)
        for event in events_of(rules, answer.probabilities, answer.elapsed_s, answer.delay_s)
    ]
    moments = (np.arange(len(answer.probabilities)) / rules.rate).tolist()
    guesses = [dict(zip(rules.labels, row.tolist(), strict=False)) for row in answer.probabilities]
    score = result.measured[precision]
    return {
        "artefact": str(result.path), "precision": precision, "store_sha256": store.sha256, "composed": False,
        "figures": {name: score[name] for name in SPAN_EVENTS},
        "timeline": _timeline(
            f"recording {store.index.source_id[most]}", rules.labels, truth=truth, events=events, moments=moments,
            guesses=guesses,
        ),
    }  # fmt: skip


def _events(result: BundleResult, store: ClipStore, *, gestures: int) -> dict[str, Any]:
    model = Recogniser.open(result.path)
    check_points(store, model.spec)
    own = labelled_as(store, model.labels, SPLIT)
    played = compose(own, labelled_clips(own, SPLIT), count=gestures, seed=0)
    options = RecogniseOptions()
    score = evaluate_streams(model, played, layout=own.layout, units=own.units, options=options)
    return {
        "artefact": str(result.path), "precision": model.precision, "store_sha256": store.sha256, "composed": True,
        "figures": {name: score[name] for name in EVENTS}, "timeline": timeline(model, played[0], own, options),
    }  # fmt: skip


def timeline(model: Recogniser, played: Stream, store: ClipStore, options: RecogniseOptions) -> dict[str, Any]:
    """The first minute of a stream: what was done, what was answered, and the probabilities that led there."""
    stream = model.stream(layout=store.layout, units=store.units, options=options)
    moments: list[float] = []
    guesses: list[dict[str, float]] = []
    events: list[Span] = []
    for frame, moment in enumerate(played.times.tolist()):
        if moment > SHOWN_S:
            break
        events += [
            Span(event.label, event.start_s, event.end_s) for event in stream.push(played.points[:, frame], moment)
        ]
        now = stream.current
        if now is not None and (not moments or now.end_s > moments[-1]):
            moments.append(now.end_s)
            guesses.append({guess.label: guess.probability for guess in now.top})
    about = f"person {played.subject}"
    return _timeline(about, model.labels, truth=played.spans, events=events, moments=moments, guesses=guesses)


def _timeline(
    about: str, labels: Sequence[str], *, truth: Sequence[Span], events: Sequence[Span], moments: Sequence[float],
    guesses: Sequence[Mapping[str, float]],
) -> dict[str, Any]:  # fmt: skip
    """The first minute as plain values. about: what is played. guesses: probabilities at each of the moments."""
    taken = [place for place, moment in enumerate(moments) if moment <= SHOWN_S]
    shown = [name for name in labels if any(guesses[place].get(name, 0.0) > LEAST_SHOWN for place in taken)]
    kept = {
        kind: [
            {"label": span.label, "start_s": round(span.start_s, 3), "end_s": round(span.end_s, 3)}
            for span in spans
            if span.start_s < SHOWN_S
        ]
        for kind, spans in (("truth", truth), ("events", events))
    }
    return {
        "about": about, **kept, "moments_s": [round(moments[place], 3) for place in taken],
        "posteriors": {name: [round(guesses[place].get(name, 0.0), 3) for place in taken] for name in shown},
    }  # fmt: skip


def open_stores(paths: Sequence[Path]) -> list[ClipStore]:
    """The stores, each opened once."""
    return [ClipStore.open(path) for path in dict.fromkeys(paths)]
