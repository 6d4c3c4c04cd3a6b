"""`last-edge data synth-nslt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from last_edge.tools.cli.data_commands import progress_of_clips, show_prepared
from last_edge.tools.cli.options import DryRun, Force, Json, Out, Quiet, Verbose


def synth_nslt(
    index: Annotated[Path, typer.Argument(help="An official subset, nslt_100.json to nslt_2000.json.")],
    out: Out,
    frames: Annotated[int, typer.Option(min=2, help="Frames of a clip.")] = 8,
    width: Annotated[int, typer.Option(min=1, help="Numbers a row of features.")] = 64,
    rows: Annotated[int, typer.Option(min=1, help="Rows of features a clip.")] = 4,
    noise: Annotated[
        float, typer.Option(min=0.0, help="Clips' distance from their class, in the classes' spread.")
    ] = 1.5,
    test_clips: Annotated[
        int, typer.Option(min=0, help="Test clips of each class in place of the official ones; 0 for those.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all that is drawn.")] = 0,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Make a store with the classes, splits and clip counts of an official NSLT subset, and features beside it.

    Landmarks and features are drawn, class by class: nobody's recording. What is measured on it tells of the counts,
    not of signs.

    Example: last-edge data synth-nslt wlasl/nslt_1000.json --out runs/nslt/store
    """
    from last_edge.data.synth.nslt import NsltSynthOptions, synth_nslt

    options = NsltSynthOptions(frames, width, rows, noise, test_clips, seed)
    with progress_of_clips(quiet) as progress:
        made = synth_nslt(index, out=out, options=options, dry_run=dry_run, force=force, progress=progress)
    show_prepared(made, as_json=as_json)
