"""The curve of a bundle's work on streams: gestures found against false events an hour, for each way of decoding.

Streams are composed of clips of people whom the weights never saw, with idle stretches and made motions between; beside
them clips of the background set are played, after each of which the body rests. Every stream is played once, frame by
frame as `run` would, and what the graph said is written down; then the decoder goes over the record at every pair of
least probability and least energy. Kept are the pairs that no other beats on both counts.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.bundle import Bundle, rewrite_bundle
from last_edge.bundle.manifest import Manifest, model_file
from last_edge.clips.compose import ComposeOptions, Span, compose, tremble
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.data.background import background_clips, background_layouts
from last_edge.errors import InputError, UsageError
from last_edge.export.bundles.sources import read_source
from last_edge.export.bundles.thresholds import accept_threshold, rejection_thresholds
from last_edge.export.onnx.session import logits_of
from last_edge.export.proof.evaluate import check_store
from last_edge.files import sha256_of
from last_edge.logits import energy
from last_edge.names import is_background
from last_edge.runtime.recognise.decoding import Decoder, DecodingOptions, Event, Probabilities, Rejection, Row
from last_edge.runtime.recognise.stream import DECODERS, Decode, RecogniseOptions
from last_edge.runtime.recognise.stream_eval import StreamScore
from last_edge.runtime.recogniser import Recogniser
from last_edge.skeleton import SkeletonClip
from last_edge.tasks.registry import task_of
from last_edge.train.checkpoint import WEIGHTS

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999)
KNOWN_REFUSED = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0)
"""Percent of known motions whose energy lies below each candidate."""
REST_S = 2.0
ENOUGH, OF_BEST = 90.0, 0.95
"""The stated point finds so many percent of the gestures, or this share of the most that any finds,"""
MOST_FALSE, LEAST_OF_BEST = 120.0, 0.5
"""unless it takes more false events an hour than this; then what can be found at so many, but at least this share."""


@dataclass(frozen=True)
class Take:
    """One stream to play: points (M, T, V, C), times (T,) in seconds, and where the gestures are."""

    points: NDArray[np.float32]
    times: NDArray[np.float64]
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Step:
    """What one window or motion said: logits (K,), from when to when. None for a reset."""

    logits: NDArray[np.float32] | None
    start_s: float = 0.0
    end_s: float = 0.0


@dataclass(frozen=True)
class Played:
    """Everything that a graph said of a stream, and what was done in it."""

    steps: tuple[Step, ...]
    spans: tuple[Span, ...]
    seconds: float


class _Tape(Decoder):
    """A decoder that decides nothing and keeps what it is told; the rejection that it is used with, too."""

    temperature = 1.0

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.steps: list[Step] = []
        self._logits = np.zeros(len(labels), np.float32)
        super().__init__(labels, DecodingOptions())

    def reset(self) -> None:
        super().reset()
        if self.steps and self.steps[-1].logits is not None:
            self.steps.append(Step(None))

    def probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        """As `Rejection.probabilities`."""
        self._logits = logits.copy()
        return Rejection().probabilities(logits)

    def knows(self, logits: NDArray[np.float32]) -> bool:
        """As `Rejection.knows`, of one that refuses nothing."""
        return True

    def push(self, probabilities: Probabilities, *, start_s: float, end_s: float, known: bool = True) -> Event | None:
        self.mean = probabilities
        self.steps.append(Step(self._logits, start_s, end_s))
        return None

    decide = push


def played_each(model: Recogniser, takes: Sequence[Take], decodes: Sequence[Decode]) -> dict[Decode, list[Played]]:
    """Everything that the graph says of streams, for each way of decoding; windows are asked once for two of them."""
    records: dict[Decode, list[Played]] = {}
    for decode in decodes:
        asked = records.get("sliding") if decode == "spans" else None
        records[decode] = [played(model, take, decode) for take in takes] if asked is None else asked
    return records


def played(model: Recogniser, take: Take, decode: Decode) -> Played:
    """Everything that the graph says of a stream."""
    stream = model.stream(options=RecogniseOptions(decode=decode))
    tape = _Tape(model.labels)
    stream.decoder = tape
    stream.use(model.backend, tape)  # type: ignore[arg-type]
    for frame, moment in enumerate(take.times.tolist()):
        stream.push(take.points[:, frame], moment)
    return Played(tuple(tape.steps), take.spans, float(take.times[-1]))


@dataclass(frozen=True)
class Answer:
    """A step as a decoder reads it: probabilities (K,) and energy; None for a reset."""

    probabilities: Probabilities | None
    energy: float
    start_s: float
    end_s: float


def answers_of(record: Played, temperature: float) -> list[Answer]:
    """What a decoder is told at a temperature."""
    rejection, found = Rejection(temperature), []
    for step in record.steps:
        said = None if step.logits is None else rejection.probabilities(step.logits)
        score = 0.0 if step.logits is None else float(energy(step.logits, temperature))
        found.append(Answer(said, score, step.start_s, step.end_s))
    return found


def events_of(answers: Sequence[Answer], decoder: Decoder, decode: Decode, *, least: float) -> list[Event]:
    """The events that a decoder makes of a record, motions of less energy being unknown."""
    found = []
    for answer in answers:
        if answer.probabilities is None:
            decoder.reset()
            continue
        say = decoder.decide if decode == "segments" else decoder.push
        known = answer.energy >= least
        event = say(answer.probabilities, start_s=answer.start_s, end_s=answer.end_s, known=known)
        found += [] if event is None else [event]
    return found


def curve(records: Sequence[Played], decode: Decode, *, labels: tuple[str, ...], temperature: float) -> tuple[Row, ...]:
    """The best points from fewest false events to most gestures found, one of them stated; () without a gesture."""
    said = [(answers_of(record, temperature), record) for record in records]
    of_gestures = [
        answer.energy
        for answers, record in said if record.spans for answer in answers if answer.probabilities is not None
    ]  # fmt: skip
    if not of_gestures or not any(span.label for record in records for span in record.spans):
        return ()
    energies = [min(of_gestures) - 1.0, *np.percentile(of_gestures, KNOWN_REFUSED[1:]).tolist()]
    rows = []
    for least in energies:
        for threshold in THRESHOLDS:
            score = StreamScore()
            for answers, record in said:
                decoder = DECODERS[decode](labels, DecodingOptions(threshold=threshold))
                events = events_of(answers, decoder, decode, least=least)
                score.add(events, record.spans, seconds=record.seconds)
            false = score.wrong + score.repeated + score.in_unknown + score.in_idle
            rows.append({
                "threshold": threshold, "energy": round(least, 4),
                "detection": round(100 * score.found / score.gestures, 2),
                "false_per_hour": round(3600 * false / score.seconds, 1),
            })  # fmt: skip
    return stated(best_of(rows))


def curves_of(
    records: Mapping[Decode, Sequence[Played]], *, labels: tuple[str, ...], temperature: float
) -> tuple[dict[str, tuple[Row, ...]], dict[str, float]]:
    """`operating` of a manifest, and of how many hours and gestures it speaks, for its `thresholds`."""
    curves = {how: curve(found, how, labels=labels, temperature=temperature) for how, found in records.items()}
    one = next(iter(records.values()), ())
    gestures = sum(bool(span.label) for record in one for span in record.spans)
    hours = sum(record.seconds for record in one) / 3600
    kept: dict[str, tuple[Row, ...]] = {how: rows for how, rows in curves.items() if rows}
    return kept, {"stream_hours": round(hours, 3), "stream_gestures": float(gestures)} if kept else {}


def best_of(rows: Sequence[Row]) -> list[Row]:
    """The rows that find more than every row with as few false events, from fewest false events on."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["false_per_hour"], -row["detection"], row["threshold"])):
        if not kept or row["detection"] > kept[-1]["detection"]:
            kept.append(row)
    return kept


def stated(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows of `best_of`, one with `stated`: the fewest false events that still find enough, see `ENOUGH`."""
    best = rows[-1]["detection"]
    chosen = _first(rows, min(ENOUGH, OF_BEST * best))
    if rows[chosen]["false_per_hour"] > MOST_FALSE:
        few = [place for place, row in enumerate(rows) if row["false_per_hour"] <= MOST_FALSE]
        chosen = max([*few[-1:], _first(rows, LEAST_OF_BEST * best)])
    return tuple({**row, "stated": 1.0} if place == chosen else dict(row) for place, row in enumerate(rows))


def _first(rows: Sequence[Row], enough: float) -> int:
    """Place of the first row that finds so many."""
    return next(place for place, row in enumerate(rows) if row["detection"] >= enough)


def silent_takes(clips: Sequence[SkeletonClip], *, bodies: int, seed: int = 0) -> list[Take]:
    """Clips in which no gesture is made, each on its own, a body at rest after it."""
    random, takes = np.random.default_rng(seed), []
    for clip in clips:
        still = np.repeat(clip.coords[:, -1:], round(REST_S * clip.fps), axis=1)
        rest = still + random.normal(0, tremble(clip.coords), still.shape)
        points = np.concatenate([clip.coords, rest], axis=1, dtype=np.float32)
        absent = np.full((bodies - len(points), *points.shape[1:]), np.nan, np.float32)
        takes.append(Take(np.concatenate([points, absent]), np.arange(points.shape[1]) / clip.fps))
    return takes


@dataclass(frozen=True)
class Measure:
    """What a curve is measured with. gestures: most clips of held-out people. background: clips of the background set.
    more: a store of further clips without a gesture, in the bundle's joints and units.
    """

    gestures: int = 200
    background: int = 210
    more: ClipStore | None = None
    seed: int = 0
    decodes: tuple[Decode, ...] = field(default_factory=lambda: get_args(Decode))


def fit_thresholds(
    path: Path, store: ClipStore, *, run: Path | None = None, people: Sequence[str] = (),
    measure: Measure | None = None, threads: int = 1, report: Callable[[str], None] = lambda text: None,
) -> Manifest:  # fmt: skip
    """Fit temperature, energy, least probability and the curves of a bundle anew, and keep them in it.

    run: whose held-out people judge. Where its weights are not the bundle's, as where the bundle learnt from everybody,
    its own graph is measured in the place of the bundle's: a run of the same model and input, with the same labels.
    people: instead of a run, training people of the store whom the bundle's weights never saw.
    Raises `InputError` where the run held nobody out or is of another kind, or nobody has such a name, `UsageError` for
    a translator, a model that reads more than points, and where neither or both are given.
    """
    measure = measure or Measure()
    bundle = Bundle.open(path)
    judging = judging_clips(bundle, store, run, people)
    silent = [is_background(label) for label in store.labels]
    clips = judging[~np.array(silent)[store.index.label[judging]]]
    graph, own = bundle.graph("fp32"), True
    if run is not None:
        source = read_source(run)
        own = bundle.manifest.provenance.checkpoint_sha256 == sha256_of(source.path / WEIGHTS)
        graph = graph if own else source.files()[model_file("fp32")]
    spec = bundle.manifest.input
    logits = logits_of(graph, plain_batch(store, clips, spec), threads=threads)
    rejection = rejection_thresholds(graph, logits, store=store, clips=clips, spec=spec, threads=threads)
    fitted = {**accept_threshold(logits / rejection["temperature"], store.index.label[clips]), **rejection}
    contents = {**bundle.contents, model_file("fp32"): graph}
    judged = Bundle(path, dataclasses.replace(bundle.manifest, thresholds=fitted), contents)
    model = Recogniser(judged, precision=None if own else "fp32", threads=threads)
    takes = takes_of(judged.manifest, store, judging, measure)
    report(f"{', '.join(measure.decodes)}: {len(takes)} streams")
    records = played_each(model, takes, measure.decodes)
    curves, counted = curves_of(records, labels=model.labels, temperature=model.rejection.temperature)
    manifest = dataclasses.replace(bundle.manifest, thresholds={**fitted, **counted}, operating=curves)
    return rewrite_bundle(bundle, manifest)


def takes_of(manifest: Manifest, store: ClipStore, clips: NDArray[np.int64], measure: Measure) -> list[Take]:
    """Streams of held-out clips, then the background set where there is one of the bundle's layout, then `more`."""
    spec = manifest.input
    nothing = tuple(label for label in store.labels if is_background(label))
    options = ComposeOptions(unknown=nothing)
    composed = compose(store, clips, count=measure.gestures, seed=measure.seed, options=options)
    takes = [Take(stream.points[: spec.bodies], stream.times, stream.spans) for stream in composed]
    silent: list[SkeletonClip] = []
    if measure.background and spec.layout.name in background_layouts():
        how: dict[str, Any] = {"units": manifest.units, "channels": spec.channels}
        silent += background_clips(spec.layout, count=measure.background, seed=measure.seed + 1, **how)
    if measure.more is not None:
        if (measure.more.layout.names, measure.more.units) != (spec.layout.names, manifest.units):
            hint = "last-edge data convert STORE --bundle BUNDLE --out OUT"
            raise InputError("background in other joints or units", where=measure.more.path, hint=hint,
                             expected=f"{spec.layout.name}, {manifest.units}",
                             got=f"{measure.more.layout.name}, {measure.more.units}")  # fmt: skip
        silent += [measure.more.clip(number) for number in range(len(measure.more))]
    return [*takes, *silent_takes(silent, bodies=spec.bodies, seed=measure.seed)]


def judging_clips(
    bundle: Bundle, store: ClipStore, run: Path | None = None, people: Sequence[str] = ()
) -> NDArray[np.int64]:
    """Clips of the people that a run of the bundle's kind held out, or of named ones; raises as `fit_thresholds`."""
    manifest = bundle.manifest
    bundle.recogniser().of_landmarks("what is made between clips has no such features")
    if manifest.stream is not None:
        hint = "last-edge fit-spans RUN --store STORE, then last-edge export RUN --out BUNDLE"
        raise UsageError("a bundle that answers at every frame has rules for spans instead", where=bundle.path,
                         hint=hint)  # fmt: skip
    if (run is None) == (not people):
        raise UsageError("whose clips judge?", expected="--run RUN, or --held-out PERSON")
    if run is None:
        check_store(bundle, store)
        clips = store.select(split="train", subjects=tuple(people))
        clips = clips[store.index.label[clips] >= 0]
        if not len(clips) or (strange := set(people) - set(store.index.subject[clips].astype(str))):
            known = sorted(set(store.index.subject[store.select(split="train")].astype(str)))
            got = ", ".join(sorted(strange)) if len(clips) else ", ".join(people)
            raise InputError("nobody of this name trains", where=store.path, got=got, expected=", ".join(known))
        return clips
    source = read_source(run)
    task_of(source.card.name).check_store(store, source.spec, source.labels)
    ours = (manifest.model.name, manifest.input.sha256, manifest.labels)
    theirs = (source.card.name, source.spec.sha256, source.labels)
    for what, own, other in zip(("model", "input", "labels"), ours, theirs, strict=True):
        if own != other:
            raise InputError(f"the run is of another {what} than the bundle", where=run, expected=own, got=other)
    clips = source.judging(store)
    if not len(clips):
        hint = "last-edge train … --set validation.fraction=0.1, and that run as --run"
        raise InputError("the run held nobody of this store out", where=run, hint=hint)
    return clips
