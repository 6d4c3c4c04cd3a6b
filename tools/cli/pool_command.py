"""`last-edge data augment-pool`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from last_edge.errors import UsageError
from last_edge.tools.cli.data_commands import names_of, progress_of_clips, show_prepared
from last_edge.tools.cli.options import DryRun, Force, Json, Out, Quiet, Verbose


def augment_pool(
    store: Annotated[Path, typer.Argument(help="Clip store.")],
    out: Out,
    variants: Annotated[int, typer.Option(min=0, help="Most variants of a training clip; 0 for none.")] = 60,
    per_class: Annotated[int, typer.Option(min=0, help="Training clips to fill a class up to.")] = 200,
    classes: Annotated[int, typer.Option(min=0, help="Only the classes with most clips; 0 for all.")] = 0,
    axes: Annotated[int, typer.Option(min=0, help="Axes of a point to keep, 2 for x and y; 0 for all.")] = 0,
    split_by: Annotated[
        str, typer.Option(help="keep the store's splits, or draw them by source (recording) or subject.")
    ] = "keep",
    shares: Annotated[str, typer.Option(help="Of train, val and test, where splits are drawn.")] = "0.7,0.15,0.15",
    without: Annotated[str | None, typer.Option(help="Kinds not to make, comma between, such as mirror.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of splits and variants.")] = 0,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    force: Force = False,
) -> None:
    """Make a store of clips and variants of the training clips, kept on disk; a clip and its variants share a split.

    Kinds: shear, turn, mirror (with the hands exchanged), noise, shift, scale, speed, occlude, drop_hand, warp,
    proportions, view. Validation and test clips stay as recorded.

    Example: last-edge data augment-pool stores/words --classes 50 --split-by source --out stores/words50_augmented
    """
    from last_edge.data.pool import PoolOptions, augment_pool

    options = PoolOptions(
        variants=variants, per_class=per_class, classes=classes, axes=axes, split_by=split_by, shares=_shares(shares),
        seed=seed, without=names_of(without),
    )  # fmt: skip
    with progress_of_clips(quiet) as progress:
        made = augment_pool(store, out=out, options=options, dry_run=dry_run, force=force, progress=progress)
    show_prepared(made, as_json=as_json)


def _shares(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError("--shares needs three numbers", expected="0.7,0.15,0.15", got=text) from error
    return train, val, test
