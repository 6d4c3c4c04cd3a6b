"""Command-line options that mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from last_edge.errors import UsageError

Out = Annotated[Path, typer.Option("--out", help="Where the result goes.")]
Store = Annotated[Path, typer.Option("--store", help="A clip store, made by `last-edge data`.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Threads = Annotated[int, typer.Option("--threads", min=0, help="Processor threads; 0 leaves it to the library.")]
OwnThreads = Annotated[
    int | None,
    typer.Option("--threads", min=0, help="Processor threads, 0: the library's. Default: the bundle's, else 1."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of every random draw; default: the recipe's.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe value; repeatable.")]
RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="A shipped recipe (`last-edge recipes ls`) or a file.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON value on stdout, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Tracebacks and details.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
ModelName = Annotated[str | None, typer.Option("--model", help="Registered name; `last-edge models` lists them.")]
Init = Annotated[
    Path | None,
    typer.Option(
        "--init",
        help="training.init: a run whose trunk the model starts from (`pretrain`); a translator starts from another "
        "translator or looks through a recogniser's trunk.",
    ),
]


def seeds_of(text: str | None) -> tuple[int, ...]:
    """The numbers of `--seeds 0,1,2`; `UsageError` unless each is whole and stands there once."""
    found = tuple(int(part) if part.strip().isdecimal() else -1 for part in text.split(",")) if text else ()
    if any(seed < 0 for seed in found) or len(set(found)) != len(found):
        raise UsageError("--seeds needs whole numbers, each once", got=text, hint="--seeds 0,1,2")
    return found
