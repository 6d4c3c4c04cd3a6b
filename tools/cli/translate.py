"""`last-edge translate`, and what `eval` shows of a translator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from last_edge.tools.cli.options import SCREEN, Graph, OwnThreads, Screen, in_zoo

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
        typer.Argument(
            metavar="BUNDLE",
            callback=in_zoo,
            help="A translator's bundle, made by `last-edge export RUN --out BUNDLE`.",
        ),
    ],
    source: Annotated[
        str, typer.Option("--source", help="FILE.pose, store:FOLDER, or store:FOLDER#CLIP for one clip.")
    ],
    beam: Annotated[int | None, typer.Option("--beam", min=1, help="Hypotheses kept; default: the bundle's.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Of a store: only its train, val or test clips.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first clips.")] = None,
    precision: Graph = None,
    threads: OwnThreads = None,
    screen: Screen = SCREEN,
) -> None:
    """Say in words what is signed: a line a clip as it is done; with --json a list of {"clip", "text", "ms"}. No torch.

    Example: last-edge translate runs/sentences/bundle --source store:runs/sentences/store --split test --limit 5
    """
    from last_edge.runtime.translator import Translator, clips_of

    translator = Translator.open(bundle, precision=precision, threads=1 if threads is None else threads)
    found = clips_of(source, translator.spec, units=translator.units, split=split, limit=limit)
    said = (translator.translate(points, name=name, beam=beam) for name, points in found)
    if screen.json:
        screen.emit([{"clip": line.clip, "text": line.text, "ms": line.ms} for line in said])
        return
    for line in said:
        typer.echo(f"{line.clip}: {line.text}")
