"""`card.md`: the manifest for people to read. Generated, never written by hand."""

import dataclasses
from collections.abc import Mapping

from last_edge import records
from last_edge.bundle.manifest import (
    CARD,
    EVENT_FIGURES,
    FRAME_NAME,
    GOLDEN,
    INPUT_NAME,
    MANIFEST,
    NEXT_STATE,
    OUTPUT_NAME,
    PICTURE,
    SAMPLES,
    SEARCH,
    STATE,
    TOKENIZER,
    WEIGHTS,
    Figure,
    Manifest,
    decoder_of,
    encoder_precisions,
    model_file,
    translates,
)

PARITY = ("pair", "on", "n", "max_abs", "mean_abs", "agreement")
SENTENCE_METRICS = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "wer", "exact", "repetition", "n", "split")
METRICS = ("top1", "top3", "top5", "frames", "mean_class", "ece", "n", "split")
TUNED = ("threads", "spin", "arena", "buffers", "p50_ms", "usual_p50_ms", "backend", "backend_version", "device")
ENGINE = ("flavour", "version", "precision", "gpu", "source", "source_sha256")
CALIBRATION = ("method", "float_head", "percentile", "steps", "keep_float", "qat_epochs", "seed")


def render_card(manifest: Manifest, files: Mapping[str, bytes]) -> str:
    """Markdown of a bundle with these files. One manifest has one card."""
    listed = dataclasses.replace(manifest, files=dict.fromkeys(files, ""))
    sizes = {
        name: len(content) for name, content in files.items() if name not in (CARD, GOLDEN, MANIFEST, SAMPLES, PICTURE)
    }
    return (_translator if translates(listed) else _recogniser)(listed, sizes)


def _recogniser(manifest: Manifest, sizes: dict[str, int]) -> str:
    sections = [
        _head(manifest),
        _held_out(manifest),
        _pictures(manifest),
        _table("Measured on the exported files", _metric_rows(manifest, sizes)),
        _events(manifest),
        _input(manifest),
        _table("Parity", [_cells(_in_order(row, PARITY)) for row in manifest.parity]),
        _calibration(manifest),
        _accept(manifest),
        _operating(manifest),
        _table("Fastest settings found", _named("precision", manifest.tuned, TUNED)),
        _table("Engines", _named("file", manifest.engines, ENGINE)),
        _provenance(manifest),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(manifest: Manifest) -> str:
    spec = manifest.input
    return (
        f"# {manifest.name}\n\n"
        f"`{manifest.model.name}`, {manifest.model.params:,} parameters, {len(manifest.labels)} classes, "
        f"{'streams' if manifest.stream else f'{spec.frames} frames'} of {spec.layout.joints} points "
        f"(`{spec.layout.name}`).\n\n"
        f"Classes: {', '.join(manifest.labels)}."
    )


def _held_out(manifest: Manifest) -> str:
    """What is to be expected of it, by takes or people that were left out in turn."""
    found = manifest.held_out
    if not found:
        return ""
    who = f"{found['people']} people, each left out once" if found["by"] == "people" else (
        f"takes of {found['people']} {'person' if found['people'] == 1 else 'people'}, {found['folds']} folds"
    )  # fmt: skip
    said = (
        f"{found['top1']}% of {found['n']} takes that were left out were recognised (95% interval {found['low']} to "
        f"{found['high']}%): {who}, by models trained on the others. Of {found['background']} clips of "
        f"other motions {found['called']}% would have been an event."
    )
    alone = " With other people expect less." if found["people"] == 1 else ""
    return f"## Accuracy on takes left out of training\n\n{said}{alone}"


def _pictures(manifest: Manifest) -> str:
    """The gestures as moving skeletons; nothing where the bundle has no picture."""
    if PICTURE not in manifest.files:
        return ""
    hands = {"left": "a left hand", "right": "a right hand", "both": "both hands"}[manifest.known_hands]
    shows = f" Trained on {hands}; the other is mirrored." if manifest.input.layout.one_hand else ""
    return (
        f"![each class as a moving skeleton]({PICTURE})\n\nEach motion is the mean of many people's clips, "
        f"nobody's own.{shows} `last-edge run {manifest.name} --source samples` plays them."
    )


def _metric_rows(manifest: Manifest, sizes: dict[str, int]) -> list[dict[str, str]]:
    rows = []
    for precision in manifest.precisions:
        figures = _cells(_in_order(manifest.metrics.get(precision, {}), METRICS))
        rows.append({"precision": precision, "bytes": f"{sizes[model_file(precision)]:,}", **figures})
    return rows


def _events(manifest: Manifest) -> str:
    """Of a network for streams, what its events score; nothing where that was not measured."""
    rows = [
        {"precision": name, **_cells(_in_order(manifest.metrics.get(name, {}), EVENT_FIGURES))}
        for name in manifest.precisions
    ]
    if not any(EVENT_FIGURES[0] in row for row in rows):
        return ""
    said = (
        "Shares from 0 to 1 of the gestures shown, by the protocol of SHREC 2021: `jaccard` is the mean overlap of "
        "spans, `jaccard_counts` the index of the contest's table, which counts gestures."
    )
    return f"{_table('Events in recordings', rows)}\n\n{said}"


def _input(manifest: Manifest) -> str:
    spec, stream = manifest.input, manifest.stream
    name, shape = (INPUT_NAME, spec.shape) if stream is None else (FRAME_NAME, spec.shape[1:])
    feed = f"Resample a clip to {spec.frames} frames ({spec.resample}, over the span that shows points)."
    if stream is not None:
        feed = (
            f"One frame of each person, {stream.rate:g} a second, by time stamps where they come otherwise, and "
            f"`{STATE}…`, {stream.state_bytes:,} bytes a person: zeros at the beginning, then the answer's "
            f"`{NEXT_STATE}…`. An answer comes {stream.delay} frames late and depends on {stream.receptive_field}."
        )
    lines = [
        f"- `{name}` float32 ({', '.join(['N', *map(str, shape)])}), NaN where a point is missing; `{OUTPUT_NAME}` "
        f"float32 (N, {len(manifest.labels)}).",
        f"- Units: `{manifest.units}`. Axes: {manifest.axes}.{f' Hands: {manifest.hands}.' if manifest.hands else ''}",
        f"- {feed} The graph does the rest: centre `{spec.centre}`, scale `{spec.scale}`, missing points at the "
        f"`{spec.missing}`, streams {', '.join(spec.streams)}.",
    ]
    return "## Input\n\n" + "\n".join(lines)


def _calibration(manifest: Manifest) -> str:
    if not manifest.calibration:
        return ""
    facts = ", ".join(f"{name} {value}" for name, value in _in_order(manifest.calibration, CALIBRATION).items())
    return f"## Calibration\n\n{len(manifest.calibration_ids)} clips of the train split ({facts})."


def _accept(manifest: Manifest) -> str:
    """How the threshold was found; nothing where the runtime's own applies."""
    found = manifest.thresholds
    if not {"accept", "accept_right", "accept_share", "accept_clips"} <= found.keys():
        return ""
    return (
        f"## Threshold\n\nAnswers below a probability of {found['accept']:g} are not worth reporting. At or above it "
        f"{found['accept_right']:g}% of the answers to {found['accept_clips']:g} validation clips were right, and "
        f"{found['accept_share']:g}% of those clips got one: the lowest threshold that keeps 95% right on people held "
        "out of training."
    )


def _operating(manifest: Manifest) -> str:
    """The curves on streams, what the bundle works at in bold; nothing where it has none."""
    if not manifest.operating:
        return ""
    hours, gestures = (manifest.thresholds.get(name, 0.0) for name in ("stream_hours", "stream_gestures"))
    rows = [
        {
            "decode": decode,
            "least probability": f"{row['threshold']:g}",
            "least energy": f"{row['energy']:.4g}",
            "found %": _bold(row["detection"], row),
            "false events an hour": _bold(row["false_per_hour"], row),
        }
        for decode, curve in sorted(manifest.operating.items())
        for row in curve
    ]
    played = "takes that were left out, answered by models trained on the others, nobody in view between them, and" if (
        manifest.held_out
    ) else "people held out of training, idle stretches, synthetic motions and"  # fmt: skip
    return (
        f"{_table('On a stream', rows)}\n\nOn {hours * 60:.0f} minutes of {gestures:.0f} gestures by {played} the "
        "background set. The row in bold is the default; "
        "`--false-alarms-per-hour N` chooses the row that finds most at no more than N."
    )


def _bold(figure: float, row: Mapping[str, float]) -> str:
    return f"**{figure:g}**" if row.get("stated") else f"{figure:g}"


def _named(what: str, rows: Mapping[str, dict[str, Figure]], columns: tuple[str, ...]) -> list[dict[str, str]]:
    return [{what: name, **_cells(_in_order(row, columns))} for name, row in sorted(rows.items())]


def _provenance(manifest: Manifest) -> str:
    origin = manifest.provenance
    versions = ", ".join(f"{name} {version}" for name, version in sorted(origin.versions.items()))
    facts = {
        "Licence": manifest.licence,
        "Commit": origin.commit,
        "Trained at commit": origin.trained_commit,
        "Data": origin.data_sha256,
        "Weights": origin.checkpoint_sha256,
        "Float weights": _float_weights(manifest),
        "Seeds": ", ".join(f"{name} {seed}" for name, seed in sorted(origin.seeds.items())),
        "Versions": versions,
        "Check": "`last-edge verify BUNDLE --store STORE` measures every figure above again",
    }
    return "## Provenance\n\n" + "\n".join(f"- {name}: {fact or 'unknown'}." for name, fact in facts.items())


def _float_weights(manifest: Manifest) -> str:
    if WEIGHTS not in manifest.files:
        return "none to train from"
    found = manifest.unfolded
    return f"`{WEIGHTS}`, to train from" if not found else (
        f"`{WEIGHTS}`, to train from; unfolded from the graph, as the trained ones are lost, with batch norms measured "
        f"anew on {found['clips']} clips of the {found['split']} split"
    )  # fmt: skip


def _in_order(facts: dict[str, Figure], names: tuple[str, ...]) -> dict[str, Figure]:
    """The named facts that are there, in the order of the names: a dict read from a file has another one."""
    return {name: facts[name] for name in names if name in facts}


def _cells(row: dict[str, Figure]) -> dict[str, str]:
    return {name: f"{value:.3g}" if name.endswith("abs") else str(value) for name, value in row.items()}


def _table(title: str, rows: list[dict[str, str]]) -> str:
    if not rows:
        return ""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = records.markdown_table(columns, ([row.get(name, "") for name in columns] for row in rows))
    return f"## {title}\n\n" + "\n".join(lines)


def _translator(manifest: Manifest, sizes: dict[str, int]) -> str:
    spec, model = manifest.input, manifest.model
    decoders = " or ".join(dict.fromkeys(f"`{decoder_of(manifest, name)}`" for name in encoder_precisions(manifest)))
    head = (
        f"# {manifest.name}\n\n`{model.name}`, {model.params:,} parameters, {len(manifest.labels)} sub-words, at most "
        f"{spec.frames} frames of {spec.layout.joints} points (`{spec.layout.name}`).\n"
    )
    inputs = (
        f"## Input\n\n- The encoder takes `landmarks` float32 (N, T, {spec.layout.joints}, {spec.channels}), NaN where "
        f"a point is missing and behind the end of a clip; T up to {spec.frames}.\n- Units: `{manifest.units}`. Axes: "
        f"{manifest.axes}.\n- {decoders} gives one sub-word after the other and keeps what it has read; `{SEARCH}` "
        f"says how sentences are searched, `{TOKENIZER}` spells them.\n"
    )
    files = "".join(f"| `{name}` | {size:,} |\n" for name, size in sorted(sizes.items()))
    return "\n".join(
        [
            head,
            _translator_figures(manifest),
            inputs,
            f"## Files\n\n| file | bytes |\n|---|---|\n{files}",
            _translator_origin(manifest),
        ]
    )


def _translator_figures(manifest: Manifest) -> str:
    """Measured figures, a row for each encoder."""
    rows = [(name, manifest.metrics[name]) for name in encoder_precisions(manifest) if name in manifest.metrics]
    if not rows:
        return "Not measured: export with `--store`.\n"
    heading = f"| encoder | {' | '.join(SENTENCE_METRICS)} |\n|{'---|' * (len(SENTENCE_METRICS) + 1)}\n"
    lines = "".join(
        f"| {name} | {' | '.join(str(row.get(key, '')) for key in SENTENCE_METRICS)} |\n" for name, row in rows
    )
    return f"## Measured on the exported files (percent)\n\n{heading}{lines}"


def _translator_origin(manifest: Manifest) -> str:
    origin = manifest.provenance
    return (
        f"## Origin\n\nTrained on the store {origin.data_sha256}, commit {origin.trained_commit or 'unknown'}; "
        f"exported by commit {origin.commit or 'unknown'}.\n\nTerms of the data: {manifest.licence}.\n"
    )
