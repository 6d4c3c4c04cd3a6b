"""`last-edge translate`, and what `eval` shows of a translator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.errors import InputError, UsageError
from last_edge.tools.cli.options import SCREEN, Graph, OwnThreads, Screen, in_zoo, torch_threads

if TYPE_CHECKING:
    from last_edge.clips.store import ClipStore

SHOWN = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "wer", "exact", "word_coverage", "vocabulary_coverage",
         "repetition", "repetition_unblocked", "distinct", "reference_distinct", "words", "reference_words", "loss",
         "gap", "unseen_texts", "n", "tier", "next")  # fmt: skip
NAMES = {"chrf": "chrF", "wer": "WER"} | {f"bleu{order}": f"BLEU-{order}" for order in (1, 2, 3, 4)}


def is_translator(artefact: Path) -> bool:
    """Whether a run, checkpoint or bundle is a translator's."""
    from last_edge.bundle import Bundle, is_bundle

    if is_bundle(artefact):
        from last_edge.bundle.manifest import translates

        try:
            return translates(Bundle.open(artefact, verify_hashes=False).manifest)
        except InputError:
            return False
    from last_edge.train.evaluate import is_translation

    return is_translation(artefact)


def refuse(asked: dict[str, bool]) -> None:
    """`UsageError` for a flag of `export` or `quantize` that a translator has no use for."""
    for flag, given in asked.items():
        if given:
            raise UsageError(f"{flag} is for classifiers, this is a translator")


def export_translator(
    run: Path, out: Path, store: ClipStore | None, *, split: str, threads: int, dry_run: bool, force: bool
) -> dict[str, Any]:
    """Write a translator's bundle, or say what would be written; what to print of it."""
    from last_edge.export.bundles.bundle_writer import export_run
    from last_edge.files import check_free
    from last_edge.train.evaluate import load_translator

    if dry_run:
        check_free(out, force=force, marker="" if out.suffix == ".last" else "manifest.json")
        return {"would_write": str(out), "model": load_translator(run).card.name}
    torch_threads(threads)
    manifest = export_run(run, out, store=store, split=split, threads=threads, force=force)
    return {"bundle": str(out), "params": manifest.model.params, **manifest.metrics.get("fp32", {})}


def quantize_translator(
    bundle: Path, store: ClipStore, plan: Any, *, split: str, threads: int, dry_run: bool, force: bool
) -> Any:
    """Add 8-bit files to a translator's bundle, or say what would be written."""
    from last_edge.export.int8.translation_quantize import preview, quantize_translation

    if dry_run:
        return preview(bundle, store, plan, split=split, force=force)
    return quantize_translation(bundle, store, plan, split=split, threads=threads, force=force)


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
