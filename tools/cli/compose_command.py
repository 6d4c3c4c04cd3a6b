"""`last-edge data compose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from last_edge.tools.cli.data_commands import progress_of_clips, show_prepared
from last_edge.tools.cli.options import DryRun, Force, Json, Out, Quiet, Verbose


def compose(
    store: Annotated[Path, typer.Argument(help="Clip store of isolated, labelled signs.")],
    out: Out,
    sentences: Annotated[int, typer.Option(min=1, help="Sentences of the training split.")] = 3000,
    others: Annotated[int, typer.Option(min=1, help="Sentences of validation and of test, each.")] = 400,
    val_subjects: Annotated[
        int, typer.Option(min=0, help="Training subjects that validate, where the store has no such split.")
    ] = 3,
    lexicon: Annotated[
        Path | None, typer.Option(help="JSON with role and forms of each label; default: made-up meanings.")
    ] = None,
    fps: Annotated[float, typer.Option(min=0.0, help="Frames a second; 0 for the store's.")] = 0.0,
    shortest: Annotated[float, typer.Option(help="Shortest transition in seconds.")] = 0.15,
    longest: Annotated[float, typer.Option(help="Longest transition in seconds.")] = 0.4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of people, sentences and clips.")] = 0,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Make sentences with English text of one person's isolated clips each: a corpus to translate.

    Signs come in another order than the words of the text, and some words have no sign. A person is in one split, and
    so is every text. Real clips, made-up sentences: figures on them say nothing about a natural sign language.

    Example: last-edge data compose runs/shrec28/store --fps 15 --out runs/sentences/store
    """
    from last_edge.data.compose import SentenceOptions, compose_sentences

    options = SentenceOptions(sentences, others, val_subjects, fps, (shortest, longest), seed)
    with progress_of_clips(quiet) as progress:
        made = compose_sentences(
            store, out=out, options=options, lexicon=lexicon, dry_run=dry_run, force=force, progress=progress
        )
    show_prepared(made, as_json=as_json)
