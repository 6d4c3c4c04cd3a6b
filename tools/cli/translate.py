"""`last-edge translate`, and what `eval` shows of a translator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from last_edge.errors import UsageError
from last_edge.tools.cli.options import SCREEN, Graph, LandmarksBy, OwnThreads, Screen, in_zoo

if TYPE_CHECKING:
    from last_edge.runtime.translator import Translation

SHOWN = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "wer", "exact", "word_coverage", "vocabulary_coverage",
         "repetition", "repetition_unblocked", "distinct", "reference_distinct", "words", "reference_words", "loss",
         "gap", "unseen_texts", "n", "tier", "next")  # fmt: skip
NAMES = {"chrf": "chrF", "wer": "WER"} | {f"bleu{order}": f"BLEU-{order}" for order in (1, 2, 3, 4)}


def readable(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures for people: a line each, then some sentences."""
    lines = {NAMES.get(name, name): figures[name] for name in SHOWN if figures.get(name, "") != ""}
    pairs = "".join(f"\n  wanted: {pair['wanted']}\n  said:   {pair['said']}" for pair in figures["examples"])
    return lines | {"examples": pairs}


def translate(
    bundle: Annotated[
        Path,
        Argument(
            metavar="BUNDLE",
            callback=in_zoo,
            help="A translator's bundle, made by `last-edge export RUN --out BUNDLE`.",
        ),
    ],
    source: Annotated[
        str,
        Option(
            help="FILE.mp4, a camera (cam:0) or address; FILE.pose, store:FOLDER, or store:FOLDER#CLIP for one clip."
        ),
    ],
    beam: Annotated[int | None, Option(min=1, help="Hypotheses kept; default: the bundle's.")] = None,
    split: Annotated[str | None, Option(help="Of a store: only its train, val or test clips.")] = None,
    limit: Annotated[int | None, Option(min=1, help="Only the first clips or sentences.")] = None,
    fps: Annotated[
        float | None,
        Option(help="Of videos and cameras: frames a second, evenly in time; give that of the training data."),
    ] = None,
    rest_seconds: Annotated[float, Option(min=0.1, help="Of cameras: stillness that ends a sentence.")] = 1.5,
    landmarks_by: LandmarksBy = "auto",
    precision: Graph = None,
    threads: OwnThreads = None,
    screen: Screen = SCREEN,
) -> None:
    """Say in words what is signed: a line a clip as it is done; with --json a list of {"clip", "text", "ms"}. No torch.

    A video is one sentence; in front of a camera each motion between two rests is.

    Example: last-edge translate runs/sentences/bundle --source clip.mp4 --fps 24
    """
    from itertools import islice

    from last_edge.runtime.sentences import watch_sentences
    from last_edge.runtime.translator import Translator, clips_of

    translator = Translator.open(bundle, precision=precision, threads=1 if threads is None else threads)
    said: Iterator[Translation]
    if source.startswith("store:") or source.endswith(".pose"):
        found = clips_of(source, translator.spec, units=translator.units, split=split, limit=limit)
        said = (translator.translate(points, name=name, beam=beam) for name, points in found)
    elif split is not None:
        raise UsageError("--split is for a store", got=source)
    else:
        lines = watch_sentences(
            translator, source, fps=fps, beam=beam, rest_s=rest_seconds, landmarks_by=landmarks_by,
            notice=lambda text: screen.note(f"note: {text}"),
        )  # fmt: skip
        said = islice(lines, limit)
    if screen.json:
        screen.emit([{"clip": line.clip, "text": line.text, "ms": line.ms} for line in said])
        return
    for line in said:
        typer.echo(f"{line.clip}: {line.text}")
