"""Training speed for people: one table's columns, and a Markdown page that says where its figures come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from last_edge.tools.bench.train_record import TrainRecord
from last_edge.tools.cli.output import markdown

ABOUT = """\
Clips per second of whole training steps: reading, augmentation, forward and backward pass, guard, optimiser and
averages, as `last-edge train` does them. The settings of all models in one call take turns in one process, so the
*ratio*, the median over rounds of a setting against the plain step of the same model in the same round, is fair even
while the machine does other work; *clips/s* is what was left for this one. Plain is float32, optimiser unfused, not
compiled. *waiting* is the share of time spent waiting for data: not told with workers, which read on while another
setting has its turn. *first step* holds what torch.compile translates.
"""


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


COLUMNS: dict[str, Callable[[TrainRecord], str]] = {
    "model": lambda row: row.model,
    "setting": lambda row: row.setting,
    "threads": lambda row: str(row.threads),
    "batch": lambda row: str(row.batch_size),
    "clips/s": lambda row: _figure(row.clips_per_s, 1),
    "ratio": lambda row: row.unavailable.replace("|", "\\|") or _figure(row.ratio, 2),
    "p50 ms": lambda row: _figure(row.p50_ms, 1),
    "p95 ms": lambda row: _figure(row.p95_ms, 1),
    "p99 ms": lambda row: _figure(row.p99_ms, 1),
    "optimiser ms": lambda row: _figure(row.optimizer_ms, 2),
    "waiting %": lambda row: _figure(row.waiting, 2),
    "first step s": lambda row: _figure(row.first_s, 1),
}


def where(row: TrainRecord) -> str:
    """The machine, the code and the input of a row."""
    shape = " x ".join(map(str, row.input_shape))
    return (
        f"{row.device}, {row.cores} cores, {row.platform}; Python {row.python}, torch {row.torch}; "
        f"commit {row.commit}; store {row.store_sha256[:12]}, clips of {shape}, "
        f"recipe {row.recipe or 'none'}, {row.workers} workers"
    )


def to_markdown(rows: Sequence[TrainRecord]) -> str:
    """A page with a table for each machine and input, under the commands that measured it."""
    parts = ["# Speed of training\n", ABOUT]
    for place in dict.fromkeys(map(where, rows)):
        here = [row for row in rows if where(row) == place]
        commands = "\n".join(dict.fromkeys(row.command for row in here if row.command))
        parts += [
            f"{place}.\n",
            f"```sh\n{commands}\n```\n",
            markdown({name: list(map(show, here)) for name, show in COLUMNS.items()}),
        ]
    return "\n".join(parts)
