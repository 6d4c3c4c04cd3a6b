"""What commands print: the result on stdout, progress and logs on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

MOST_WAITING = 5.0  # percent of an epoch spent waiting for data that go without saying
WIDE = 160  # columns of a table that no terminal shows: nothing is cut off

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def stderr() -> Console:
    """The console for progress and messages."""
    from rich.console import Console

    return Console(stderr=True)


def emit(result: Any, *, as_json: bool, table: Callable[[], Table] | None = None) -> None:
    """Print the result: JSON for programs, a table (or `key: value` lines) for people."""
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
        return
    if table is not None:
        from rich.console import Console

        Console(width=None if sys.stdout.isatty() else WIDE).print(table())
        return
    lines = result.items() if isinstance(result, dict) else enumerate(result)
    sys.stdout.write("".join(f"{name}: {value}\n" for name, value in lines))


def make_table(title: str, columns: dict[str, list[Any]]) -> Table:
    """A table from columns."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*[str(cell) for cell in row])
    return table


def markdown(columns: dict[str, list[Any]]) -> str:
    """The same as a Markdown table."""
    rows = zip(*columns.values(), strict=True)
    lines = [list(columns), ["---"] * len(columns), *([str(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def difference(found: dict[str, Any] | None) -> str:
    """Points gained and their 95 % interval; nothing where nothing was compared."""
    return "" if found is None else f"{found['points']:+.2f} ({found['low']:+.2f} to {found['high']:+.2f})"


@contextmanager
def epoch_progress(title: str, *, quiet: bool) -> Iterator[Callable[[dict[str, float], int], None]]:
    """A progress bar over epochs with time left; yields the function that takes each epoch's row.

    What ends before the first epoch does, such as a refused command, leaves no bar behind.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=stderr(), disable=quiet) as bar:
        task = bar.add_task(title, total=None)

        def report(row: dict[str, float], epochs: int) -> None:
            bar.update(task, total=epochs, completed=row["epoch"], description=f"{title}  {describe(row)}")

        try:
            yield report
        except BaseException:
            if bar.tasks[task].total is None:
                bar.live.transient = bar.disable = True
                bar.live.stop()
            raise


def view_progress(*, quiet: bool) -> Callable[[int, int], None]:
    """What tells of a teacher cache being filled: the number of a view, from 0, and of all views."""
    console = stderr()

    def report(view: int, views: int) -> None:
        if not quiet:
            console.print(f"teachers answer: view {view + 1} of {views}")

    return report


@contextmanager
def cell_progress(*, quiet: bool) -> Iterator[Callable[[str], Callable[[dict[str, float], int], None]]]:
    """One bar for many trainings; yields the function that takes a training's name and gives its report."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stderr(), disable=quiet) as bar:

        def start(name: str) -> Callable[[dict[str, float], int], None]:
            task = bar.add_task(name, total=None, visible=False)

            def report(row: dict[str, float], epochs: int) -> None:
                shown = f"{name}  {describe(row)}"
                bar.update(task, total=epochs, completed=row["epoch"], description=shown, visible=True)

            return report

        yield start


def describe(row: dict[str, float]) -> str:
    """An epoch in a few words."""
    text = f"loss {row['loss']:.3f}"
    text += f"  train {row['train_top1']:.1f}%" if "train_top1" in row else ""
    text += f"  val {row['val_top1']:.1f}%" if "val_top1" in row else ""
    text += f"  val loss {row['val_loss']:.3f}" if "train_words" in row and "val_loss" in row else ""
    text += f"  BLEU-4 {row['val_bleu4']:.1f}" if "val_bleu4" in row else ""
    text += f"  skipped {row['skipped']:.0f}" if row["skipped"] else ""
    slow = row.get("waiting", 0.0) > MOST_WAITING
    return text + (f"  waits {row['waiting']:.0f}% for data: training.workers" if slow else "")
