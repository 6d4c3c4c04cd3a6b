"""`last-edge bench train`: clips per second of training, by model and setting."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from last_edge.errors import UsageError
from last_edge.tools.cli import options
from last_edge.tools.cli.data_commands import names_of
from last_edge.tools.cli.output import emit, make_table, stderr

if TYPE_CHECKING:
    from last_edge.timing import Schedule
    from last_edge.tools.bench.train_record import TrainRecord

Models = Annotated[str | None, typer.Option("--models", help="Names, comma between; default: all of LAST-E and -Lite.")]
Settings = Annotated[
    str,
    typer.Option(
        "--settings",
        help="Comma between, parts joined by +: plain, bf16, fp16, fused, compile, batch=N, threads=N.",
    ),
]
Store = Annotated[Path | None, typer.Option("--store", help="A clip store; default: synthetic signs, made for it.")]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="training.batch_size; default: the recipe's.")
]
Outs = Annotated[list[Path] | None, typer.Option("--out", help="Write the records to this .json or .md; repeatable.")]
Join = Annotated[
    list[Path] | None, typer.Option("--join", help="Records (.json) of earlier calls to show before these.")
]


def train(
    models: Models = None,
    store: Store = None,
    settings: Settings = "plain,fused,bf16,compile,bf16+fused,bf16+fused+compile",
    recipe: options.RecipeName = None,
    set_: options.Set = None,
    batch_size: BatchSize = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Processor threads.")] = 1,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Rounds; all lanes take turns in each.")] = 5,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Timed steps a turn.")] = 2,
    warm_up: Annotated[int, typer.Option("--warm-up", min=0, help="Untimed steps after each lane's first.")] = 1,
    device: options.Device = "auto",
    out: Outs = None,
    join: Join = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    force: options.Force = False,
) -> None:
    """Measure clips per second of training, by model and setting, with the share of time spent waiting for data.

    Every step is one of `last-edge train`: reading, augmentation, forward, backward, optimiser. All lanes take turns in
    one process; the ratio is to plain settings (float32, unfused, not compiled) of the same model in the same round.
    Translation by torch.compile counts as first step. What this machine cannot do is shown with the reason. With --join
    and without --models nothing is measured.

    Example: last-edge bench train --models last_e_nano,last_lite_nano --recipe shrec17 --out training.md
    """
    from last_edge import records
    from last_edge.timing import Schedule
    from last_edge.tools.bench.record import load_records
    from last_edge.tools.bench.train_record import TrainRecord

    _check_outs(out or [], force=force)
    rows = [row for path in join or [] for row in load_records(path, TrainRecord)]
    if models is not None or not rows:
        chosen = names_of(models), names_of(settings), Schedule(rounds=rounds, calls=steps, warm_up=warm_up)
        sets = (*(set_ or ()), *([f"training.batch_size={batch_size}"] if batch_size else []))
        with _told(quiet or json) as tell:
            rows += _measure(*chosen, store, _given(recipe, sets, threads, device), tell)
    _write(rows, out or [])
    emit([records.to_dict(row) for row in rows], as_json=json, table=lambda: train_table(rows))


def train_table(rows: Sequence[TrainRecord]) -> Any:
    """Records as a table for people."""
    from last_edge.tools.bench.train_record import COLUMNS, where

    title = "\n".join(dict.fromkeys(map(where, rows)))
    return make_table(title, {name: [show(row) for row in rows] for name, show in COLUMNS.items()})


def _given(recipe: str | None, sets: tuple[str, ...], threads: int, device: str) -> dict[str, Any]:
    from last_edge.train.device import resolve_device

    return {"recipe": recipe, "sets": sets, "threads": threads, "device": resolve_device(device)}


def _measure(
    models: tuple[str, ...],
    settings: tuple[str, ...],
    schedule: Schedule,
    store: Path | None,
    given: dict[str, Any],
    tell: Callable[[str], None],
) -> list[TrainRecord]:
    from last_edge.tools.bench.train import TrainBench, bench_training, family, made_store
    from last_edge.tools.bench.train_lane import Conditions, parse_settings

    parsed = tuple(parse_settings(settings))
    with TemporaryDirectory() as work, made_store() if store is None else nullcontext(store) as clips:
        conditions = Conditions(clips, Path(work), **given)
        return bench_training(TrainBench(models or family(), parsed, schedule, conditions, command_line()), tell)


def _check_outs(paths: Sequence[Path], *, force: bool) -> None:
    from last_edge.files import check_free

    for path in paths:
        if path.suffix not in (".json", ".md"):
            raise UsageError("training speed is written as records or as a page", expected=".json or .md", got=path)
        check_free(path, force=force)


def _write(rows: Sequence[TrainRecord], paths: Sequence[Path]) -> None:
    from last_edge.files import write_text
    from last_edge.tools.bench.record import save_records
    from last_edge.tools.bench.train_record import to_markdown

    for path in paths:
        if path.suffix == ".json":
            save_records(rows, path)
        else:
            write_text(path, to_markdown(rows))


@contextmanager
def _told(quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line on stderr that says what is being measured."""
    console = stderr()
    console.quiet = quiet
    with console.status("making lanes") as status:
        yield lambda text: status.update(text)


def command_line() -> str:
    """The command line that measures this, as one can type it again."""
    return shlex.join(["last-edge", *sys.argv[1:]]) if sys.argv[1:2] == ["bench"] else ""
