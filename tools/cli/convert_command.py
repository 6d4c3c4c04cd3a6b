"""`last-edge data convert`: a store's clips as a bundle takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from last_edge.tools.cli import options
from last_edge.tools.cli.output import emit
from last_edge.tools.cli.runtime_commands import WhichHand


def convert(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A clip store.")],
    bundle: Annotated[Path, typer.Option("--bundle", help="The bundle whose joints, axes and units are wanted.")],
    out: options.Out,
    hand: WhichHand = "first",
    json: options.Json = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Write a store's clips with the joints, axes, size and units that a bundle takes, as `run` would feed them to it.

    Clips that show nothing of use are left out and named.

    Example: last-edge data convert runs/words/store --bundle zoo/last_lite_nano_shrec14 --out runs/words/hands
    """
    from last_edge import records
    from last_edge.runtime.record.target import convert_store

    emit(records.to_dict(convert_store(store, out, bundle=bundle, hand=hand, force=force)), as_json=json)
