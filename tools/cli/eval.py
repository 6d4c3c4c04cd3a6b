"""`last-edge eval`: figures of a run or bundle on a split, or of a bundle's events on long recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option

from last_edge.errors import UsageError
from last_edge.files import check_writable
from last_edge.tools.cli import options as opt
from last_edge.tools.cli import translate
from last_edge.tools.output import count_progress, make_table, rows_table

if TYPE_CHECKING:
    from last_edge.clips.store import ClipStore
    from last_edge.runtime.recognise.stream import Decode, RecogniseOptions

GESTURES = 200
TAKEN_FOR, CLASSES_SHOWN = 3, 20
Which = Literal["best", "last", "final"]
Unknown = Annotated[
    list[str] | None,
    Option("--unknown", help="With --stream: a class played as unknown, `*` all not learnt; repeatable."),
]
People = Annotated[
    list[str] | None,
    Option("--subject", help="With --stream or --observed: only these people of the split; repeatable."),
]


def eval(
    artefact: Annotated[Path, Argument(metavar="ARTEFACT", callback=opt.in_zoo, help="A run, checkpoint or bundle.")],
    store: opt.Store,
    split: opt.Split = "test",
    precision: Annotated[opt.Precision | None, Option(help="Of a bundle; default fp32.")] = None,
    which: Annotated[Which | None, Option(help="Of a run; default best.")] = None,
    merge_at: opt.MergeAt = "",
    threads: opt.OwnThreads = None,
    stream: Annotated[
        bool,
        Option("--stream", help="Score events on long recordings composed of each person's clips, with idle between."),
    ] = False,
    gestures: Annotated[int, Option(min=1, help="With --stream: clips to play, drawn at random.")] = GESTURES,
    unknown: Unknown = None,
    decode: opt.Decode = "sliding",
    reject: opt.Reject = True,
    false_alarms_per_hour: opt.FalsePerHour = None,
    threshold: Annotated[
        float | None, Option(min=0, max=1, help="With --stream: least probability of an event. Default: the bundle's.")
    ] = None,
    rest_seconds: opt.RestSeconds = 1.5,
    subject: People = None,
    observed: Annotated[
        bool, Option("--observed", help="Accuracy by how much of each clip was seen, 10 to 100% of its frames.")
    ] = False,
    mirror: Annotated[
        bool, Option("--mirror", help="Of a bundle: clips show the hand it was not trained on; mirror them.")
    ] = False,
    beam: Annotated[int | None, Option(min=1, help="Of a translator: hypotheses kept; default: the recipe's.")] = None,
    seed: opt.Seed = 0,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Measure a run or the exported file of a bundle on a split: top-1/3/5, per class, per subject, confusion, ECE.

    Labels of store and artefact are matched by name; classes without a clip are told and not measured. Of a model for
    streams: the share of frames that are right. With --observed, how soon it knows: top-1 by the share of each clip's
    frames that it has seen, of a model for streams by its answer at that frame.

    With --stream, a bundle's events on long recordings composed of clips: detection rate, false events a minute, delay;
    of a run of a model for streams, its events on a store's long recordings by SHREC 2021's protocol. Of a translator:
    BLEU, chrF, word error rate, vocabulary coverage, repetition, and of a run the losses' gap and a verdict.

    Example: last-edge eval runs/shrec14/bundle --store runs/shrec14/store --precision int8
    """
    from last_edge.bundle import Bundle, is_bundle
    from last_edge.clips.store import ClipStore
    from last_edge.tasks.registry import task_of_bundle

    if stream:
        refuse("without --stream", {"--merge-at": merge_at, "--beam": beam, "--mirror": mirror})
    else:
        refuse("with --stream or --observed", {"--subject": subject and not observed})
        refuse(
            "with --stream",
            {
                "--unknown": unknown,
                "--false-alarms-per-hour": false_alarms_per_hour,
                "--threshold": threshold,
            },
        )
    opened = ClipStore.open(store)
    if observed:
        from last_edge.tools.experiments.observed import observed as measure_observed

        refuse("without --observed", {"--stream": stream, "--merge-at": merge_at, "--beam": beam, "--mirror": mirror})
        found = measure_observed(
            artefact, opened, split=split, precision=precision, which=which, subjects=subject or []
        )
        rows = [{"% of frames seen": share, "top-1 %": top1} for share, top1 in found["observed"].items()]
        screen.emit(found, table=lambda: rows_table(f"{found['n']} clips of {split}", rows))
        return
    if stream:
        bundled, recorded = is_bundle(artefact), len(opened.recordings()) > 0
        of_composed: dict[str, object] = {"--gestures": gestures != GESTURES, "--subject": subject}
        if not bundled or (recorded and task_of_bundle(Bundle.open(artefact).manifest).by_frame):
            spans = evaluate_recordings(
                artefact, opened, split=split, which=which, precision=precision, unknown=unknown or [],
                threshold=threshold, refused=of_composed,
            )  # fmt: skip
            screen.emit(spans, table=lambda: span_table(spans))
            return
        refuse("of a run of a model for streams", {"--which": which})
        options = recognise_options(decode, reject, rest_seconds, false_alarms_per_hour, threshold)
        if recorded:
            refuse("on streams composed of clips", of_composed)
            score = evaluate_played(
                artefact, opened, split=split, precision=precision, threads=threads, unknown=unknown or [],
                options=options,
            )  # fmt: skip
        else:
            score = evaluate_streams(
                artefact, opened, split=split, precision=precision, threads=threads, gestures=gestures,
                unknown=unknown or [], subjects=subject or [], seed=seed, options=options,
            )  # fmt: skip
        screen.emit(score, table=lambda: stream_table(score))
        tell_absent(score, screen)
        return
    figures = evaluate(
        artefact, opened, split=split, precision=precision, which=which, threads=threads, merge_at=merge_at, beam=beam,
        mirror=mirror,
    )  # fmt: skip
    if "bleu4" in figures:
        screen.emit(figures if screen.json else translate.readable(figures))
        return
    if "frames" in figures:
        screen.emit(figures, table=lambda: frames_table(figures))
        return
    screen.emit(figures, table=lambda: figures_table(figures))
    tell_absent(figures, screen)


def frames_table(figures: dict[str, Any]) -> Any:
    """Of a network for streams: the share of frames that are right, by class."""
    head = f"{figures['frames']}% of {figures['n']} frames right, mean of classes {figures['mean_class']}%"
    rows = [{"class": name, "frames right %": share} for name, share in figures["by_class"].items()]
    return rows_table(f"{head}; --stream scores its events", rows)


def figures_table(figures: dict[str, Any]) -> Any:
    """A row a class: clips, how many of them are right, what the others were taken for; the whole stands above.

    Of many classes only the worst twenty.
    """
    from last_edge.tasks.metrics import wilson

    names, counts = figures["labels"], figures["confusion"]
    share, shown = figures["per_class"], []
    for place, name in enumerate(names):
        wrong = sorted(
            ((n, names[other]) for other, n in enumerate(counts[place]) if n and other != place), reverse=True
        )
        if name in share:
            taken = ", ".join(f"{other} {n}" for n, other in wrong[:TAKEN_FOR])
            shown.append((share[name], {"class": name, "clips": sum(counts[place]), "right %": share[name],
                                        "taken for": taken}))  # fmt: skip
    worst = sorted(shown, key=lambda row: row[0])[:CLASSES_SHOWN] if len(shown) > CLASSES_SHOWN else shown
    low, high = wilson(round(figures["top1"] * figures["n"] / 100), figures["n"])
    head = (
        f"top-1 {figures['top1']}% ({low:.1f} to {high:.1f}) of {figures['n']} clips; top-3 {figures['top3']}%, top-5 "
        f"{figures['top5']}%,\nmean of classes {figures['mean_class']}%, calibration error {figures['ece']}%"
    )
    people = figures["per_subject"]
    if len(people) > 1:
        least = min(people, key=lambda name: people[name])
        head += f"; {len(people)} people, least {least} {people[least]}%"
    if len(shown) > CLASSES_SHOWN:
        head += f"\nthe {CLASSES_SHOWN} worst of {len(shown)} classes; --json has all"
    return rows_table(head, [row for _, row in worst])


def tell_absent(figures: dict[str, Any], screen: opt.Screen) -> None:
    """A line about classes that had no clip and were not measured."""
    if not screen.json and (names := figures.get("absent")):
        typer.echo(f"not measured, no clip in the split: {', '.join(names)}")


def refuse(how: str, given: dict[str, object]) -> None:
    """`UsageError` for the first option that was given and works only so."""
    for flag, value in given.items():
        if value:
            raise UsageError(f"{flag} works only {how}", got=value, hint="last-edge eval --help")


def evaluate(
    artefact: Path, store: ClipStore, *, precision: opt.Precision | None, which: Which | None, threads: int | None,
    mirror: bool, **how: Any,
) -> dict[str, Any]:  # fmt: skip
    """Figures of a run or bundle on a split; `UsageError` for what only a run or only a bundle has."""
    from last_edge.bundle import is_bundle

    if is_bundle(artefact):
        from last_edge.export.proof.evaluate import evaluate_bundle

        if which is not None:
            raise UsageError("--which names a checkpoint of a run; this is a bundle", where=artefact)
        return evaluate_bundle(artefact, store, precision=precision, threads=threads, mirror=mirror, **how)
    from last_edge.train.evaluate import evaluate_run

    if mirror:
        raise UsageError("--mirror is for bundles, this is a run", where=artefact, hint="last-edge export RUN")
    if precision == "int8":
        hint = "last-edge export, last-edge quantize, then eval BUNDLE --precision int8"
        raise UsageError("a run has no INT8 file", where=artefact, hint=hint)
    opt.torch_threads(1 if threads is None else threads)
    return evaluate_run(artefact, store, which=which or "best", **how)


def evaluate_streams(
    bundle: Path, store: ClipStore, *, split: str, precision: opt.Precision | None, threads: int | None, gestures: int,
    unknown: list[str], subjects: list[str], seed: int, options: RecogniseOptions,
) -> dict[str, Any]:  # fmt: skip
    """The score of a bundle's events on composed streams, and how it was taken.

    `UsageError` for a subject without a clip in the split.
    """
    from last_edge.clips.compose import ComposeOptions, compose
    from last_edge.clips.windows import check_points, labelled_as, labelled_clips, of_people
    from last_edge.runtime.recognise import stream_eval
    from last_edge.runtime.recogniser import Recogniser

    model = Recogniser.open(bundle, precision=precision or "fp32", threads=threads)
    check_points(store, model.spec)
    store = labelled_as(store, model.labels, split)
    clips = of_people(store, labelled_clips(store, split), subjects)
    streams = compose(store, clips, count=gestures, seed=seed, options=ComposeOptions(unknown=tuple(unknown)))
    score = stream_eval.evaluate_streams(
        model, streams, layout=store.layout, units=store.units, options=options, unknown=unknown
    )
    how = {"split": split, "precision": model.precision, "decode": options.decode, "reject": options.reject,
           "seed": seed, "rest_seconds": options.segments.rest_s, "subjects": subjects}  # fmt: skip
    there = set(store.index.label[clips].tolist())
    absent = [name for place, name in enumerate(model.labels) if place not in there]
    return {**how, "unknown_classes": unknown, "absent": absent, "store_sha256": store.sha256, **score}


def recognise_options(
    decode: Decode, reject: bool, rest_seconds: float, false_per_hour: float | None, threshold: float | None
) -> RecogniseOptions:
    """How a stream is decided, as the options say."""
    from last_edge.runtime.recognise.decoding import DecodingOptions
    from last_edge.runtime.recognise.stream import RecogniseOptions
    from last_edge.runtime.recognise.window import SegmentOptions

    return RecogniseOptions(
        decode=decode,
        reject=reject,
        false_per_hour=false_per_hour,
        segments=SegmentOptions(rest_s=rest_seconds),
        decoding=DecodingOptions(threshold=threshold),
    )


def evaluate_played(
    bundle: Path, store: ClipStore, *, split: str, precision: opt.Precision | None, threads: int | None,
    unknown: list[str], options: RecogniseOptions,
) -> dict[str, Any]:  # fmt: skip
    """The score of the events of a bundle that takes clips, played a store's recordings, converted as `run` would.

    unknown: as for a model for streams: labels that are movements that mean nothing.
    """
    from last_edge.clips.compose import recorded
    from last_edge.runtime.recognise import stream_eval
    from last_edge.runtime.recogniser import Recogniser
    from last_edge.tasks.registry import STREAMING
    from last_edge.tasks.stream.frames import without_unknown

    model = Recogniser.open(bundle, precision=precision or "fp32", threads=threads)
    store = STREAMING.labelled_as(without_unknown(store, model.labels, unknown), model.labels, split)
    streams = recorded(store, STREAMING.clips(store, split))
    score = stream_eval.evaluate_streams(model, streams, layout=store.layout, units=store.units, options=options)
    how = {"split": split, "precision": model.precision, "decode": options.decode, "reject": options.reject}
    return {**how, "unknown_classes": unknown, "store_sha256": store.sha256, **score}


def evaluate_recordings(
    run: Path, store: ClipStore, *, split: str, which: Which | None, precision: opt.Precision | None,
    unknown: list[str], threshold: float | None, refused: dict[str, object],
) -> dict[str, Any]:  # fmt: skip
    """The score of a run's or bundle's events on a split's annotated recordings; `UsageError` for another model's."""
    from last_edge.bundle import Bundle, is_bundle

    if is_bundle(run):
        from last_edge.export.proof.span_events import evaluate_bundle_spans

        refuse("of a run of a model for streams", {"--which": which})
        refuse("on streams composed of clips", refused)
        return evaluate_bundle_spans(
            Bundle.open(run), store, split=split, precision=precision or "fp32", unknown=unknown, threshold=threshold
        )
    from last_edge.export.bundles.span_rules import evaluate_spans, is_streamer

    refuse("of a bundle", {"--precision": precision})
    if not is_streamer(run):
        hint = "last-edge export RUN --out BUNDLE, then eval BUNDLE --stream"
        raise UsageError("--stream takes a bundle, or a run of a model for streams", where=run, hint=hint)
    refuse("on streams composed of clips", refused)
    return evaluate_spans(run, store, split=split, which=which or "best", unknown=unknown, threshold=threshold)


def span_table(score: dict[str, Any]) -> Any:
    """All gestures, then each class."""
    names = ("annotated", "detection", "misclassified", "false_positives", "jaccard")
    more = ("false_positives_and_misclassified", "jaccard_counts", "delay_frames", "told_frames",
            "told_after_end_frames", "false_per_hour")  # fmt: skip
    rows = {"all": {**score, "annotated": score["gestures"], "misclassified": ""}, **score["by_class"]}
    columns: dict[str, list[Any]] = {"gesture": list(rows)}
    for name in names:
        columns[name] = [row[name] for row in rows.values()]
    about = ", ".join(f"{name.replace('_', ' ')} {score[name]}" for name in more if name in score)
    return make_table(f"{score['recordings']} recordings of {score['split']}: {about}", columns)


def fit_spans(
    run: Annotated[Path, Argument(help="A run of a model for streams.")],
    store: opt.Store,
    held_out: Annotated[
        list[Path] | None, Option(help="Runs of the same recipe whose validation recordings say it; repeatable.")
    ] = None,
    subject: Annotated[list[str] | None, Option(help="Only these of the people held out; repeatable.")] = None,
    false_costs: Annotated[float, Option(min=0, help="Found gestures that one false event outweighs.")] = 1.0,
    screen: opt.Screen = opt.SCREEN,
) -> None:
    """Find by which rules a streaming model's answers become gestures with a beginning and an end: RUN/spans.json.

    They are found on recordings that the weights did not learn from: those that validated the run, or the runs of
    --held-out, which together may hold every block of the training recordings out.

    Example: last-edge fit-spans runs/shrec21/nano --store STORE --held-out runs/shrec21/f1 --held-out runs/shrec21/f2
    """
    from last_edge.bundle.manifest import SPANS
    from last_edge.clips.store import ClipStore
    from last_edge.export.bundles.span_rules import fit_rules, write_rules

    check_writable(run / SPANS, option="RUN")
    with count_progress("rules", quiet=screen.silent) as report:
        found = fit_rules(
            run, ClipStore.open(store), others=held_out or (), subjects=subject or (), false_costs=false_costs,
            report=report,
        )  # fmt: skip
    path = write_rules(run, found)
    score = {"split": "held out", "recordings": found.recordings, "early_wrong": found.rules.early_wrong, **found.score}
    screen.emit({"rules": str(path), **score}, table=lambda: span_table(score))


def stream_table(score: dict[str, Any]) -> Any:
    """All people, then each."""
    rows = {"all": score, **score["by_subject"]}
    names = ("minutes", "gestures", "unknown", "detection_rate", "false_per_minute", "wrong", "repeated", "in_unknown",
             "in_idle", "delay_p50_s", "delay_p95_s")  # fmt: skip
    columns: dict[str, list[Any]] = {"person": list(rows)}
    for name in names:
        columns[name] = ["" if row[name] is None else row[name] for row in rows.values()]
    return make_table(f"stream of {score['split']}, {score['precision']}, {score['decode']}", columns)
