"""What commands print: the result on stdout, progress and logs on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from last_edge import records

MOST_WAITING = 5.0  # percent of an epoch spent waiting for data that go without saying
LONGEST_WORD = 20
WIDE = 160  # columns of a table that no terminal shows: nothing is cut off

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table


def stderr() -> Console:
    """The console for progress and messages."""
    from rich.console import Console

    known = sys.stderr.isatty() or "COLUMNS" in os.environ
    return Console(stderr=True, width=None if known else WIDE)


def emit(result: Any, *, as_json: bool, table: Callable[[], Any] | None = None) -> None:
    """Print the result: JSON for programs, a table (or `key: value` lines) for people."""
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
        return
    if table is not None:
        from rich.console import Console

        known = sys.stdout.isatty() or "COLUMNS" in os.environ
        Console(width=None if known else WIDE).print(table())
        return
    lines = result.items() if isinstance(result, dict) else enumerate(result)
    sys.stdout.write("".join(f"{name}: {value}\n" for name, value in lines))


@dataclass(frozen=True)
class FittedTable:
    """Columns as a table where it fits and, where it does not, in less room, so that no figure is ever cut.

    Columns whose cells are all equal go below the title first; then headers and long texts are folded; what still is
    too wide is shown row by row.
    """

    title: str
    columns: dict[str, list[Any]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        from rich.measure import Measurement

        rows = max(map(len, self.columns.values()), default=0)
        same = {name: cells[0] for name, cells in self.columns.items() if rows > 1 and len(set(map(str, cells))) == 1}
        varied = {name: cells for name, cells in self.columns.items() if name not in same}
        common = ", ".join(f"{name} {value}" for name, value in same.items() if str(value))
        title = f"{self.title}\n{common}" if common else self.title
        for table in (grid(self.title, self.columns), grid(title, varied)):
            if not rows or Measurement.get(console, options.update(width=10_000), table).maximum <= options.max_width:
                yield table
                return
        widths = {name: least_width(name, cells) for name, cells in varied.items()}
        room = options.max_width - sum(widths.values()) - 2 * len(widths) - 1  # paddings, what parts columns, edges
        wanted = {name: max(len(str(value)) for value in cells) - widths[name] for name, cells in varied.items()}
        for name in sorted(wanted, key=lambda name: wanted[name]) if room >= 0 else ():
            more = min(max(0, wanted[name]), room)
            widths[name], room = widths[name] + more, room - more
        yield grid(title, varied, widths=widths) if room >= 0 else listed(title, varied)


def least_width(name: str, cells: Sequence[Any]) -> int:
    """The width below which a column is not folded: a figure whole, of a text its longest word up to `LONGEST_WORD`."""
    texts = [str(value) for value in cells]
    figures = all(text.replace(".", "").lstrip("+-").isdigit() for text in texts if text)
    words = max((len(word) for text in texts for word in ([text] if figures else text.split())), default=0)
    return max(words if figures else min(words, LONGEST_WORD), *map(len, name.replace("_", " ").split()), 1)


def make_table(title: str, columns: dict[str, list[Any]]) -> FittedTable:
    """A table from columns."""
    return FittedTable(title, columns)


def rows_table(title: str, rows: Sequence[dict[str, Any]]) -> FittedTable:
    """A table from rows, which need not have the same keys."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return make_table(title, {name: [cell(name, row.get(name)) for row in rows] for name in names})


def cell(name: str, value: Any) -> str:
    """A value for people: verdicts as words, differences of outputs with three digits."""
    if isinstance(value, bool):
        said = ("PARTS", "") if name == "parts" else ("ok", "FAILED")
        return said[0] if value else said[1]
    if value is None:
        return ""
    return f"{value:.3g}" if name.endswith("_abs") or name == "relative" else str(value)


def grid(title: str, columns: dict[str, list[Any]], *, widths: dict[str, int] | None = None) -> Table:
    """One line a row; with `widths` it has no frame and folds what is longer."""
    from rich import box
    from rich.table import Table

    narrow = {} if widths is None else {"box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0), "pad_edge": False}
    table = Table(title=title, title_justify="left", **narrow)  # type: ignore[arg-type]
    for name in columns:
        heading = name if widths is None else name.replace("_", " ")
        table.add_column(heading, width=(widths or {}).get(name), overflow="fold")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*[str(value) for value in row])
    return table


def listed(title: str, columns: dict[str, list[Any]]) -> Table:
    """One line a value, a rule between rows; long texts are wrapped."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in zip(*columns.values(), strict=True):
        for name, value in zip(columns, row, strict=True):
            table.add_row(name, str(value))
        table.add_section()
    return table


def markdown(columns: dict[str, list[Any]]) -> str:
    """The same as a Markdown table."""
    return "".join(f"{line}\n" for line in records.markdown_table(columns, zip(*columns.values(), strict=True)))


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


@contextmanager
def count_progress(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with time left; yields the function that takes how much is done, and of how much."""
    from rich.progress import Progress, SpinnerColumn

    columns = (SpinnerColumn(), *Progress.get_default_columns())
    with Progress(*columns, console=stderr(), disable=quiet) as bar:
        task = bar.add_task(title, total=None)

        def report(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        yield report


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
    text += f"  train {row['train_frames']:.1f}% of frames" if "train_frames" in row else ""
    text += f"  val {row['val_top1']:.1f}%" if "val_top1" in row else ""
    text += f"  val loss {row['val_loss']:.3f}" if "train_words" in row and "val_loss" in row else ""
    text += f"  BLEU-4 {row['val_bleu4']:.1f}" if "val_bleu4" in row else ""
    text += f"  skipped {row['skipped']:.0f}" if row["skipped"] else ""
    slow = row.get("waiting", 0.0) > MOST_WAITING
    return text + (f"  waits {row['waiting']:.0f}% for data: training.workers" if slow else "")
