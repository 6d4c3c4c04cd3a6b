"""`TrainRecord`: how fast one model trains under one setting on one machine, and the page that shows such figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from last_edge.tools.bench.record import page


@dataclass(frozen=True)
class TrainRecord:
    """One row: model × setting × machine.

    clips_per_s: of whole steps, loading and augmentation included; median over rounds. ratio: to the plain setting of
    the same model, clip for clip, median over rounds of the same round's two figures. p50_ms, p95_ms, p99_ms: a step;
    optimizer_ms: its optimiser, median. waiting: percentage of the time spent waiting for data; None with workers,
    which read on while another lane has its turn. first_s: the first step, with whatever is compiled or set up in it.
    All are None where `unavailable` says why this machine cannot. store: its folder's name. command: that gave the row.
    """

    model: str
    params: int
    setting: str
    device: str
    cores: int
    platform: str
    python: str
    torch: str
    commit: str | None
    threads: int
    batch_size: int
    workers: int
    recipe: str
    input_shape: tuple[int, ...]
    store: str
    store_sha256: str
    rounds: int
    steps: int
    command: str
    clips_per_s: float | None = None
    ratio: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    optimizer_ms: float | None = None
    waiting: float | None = None
    first_s: float | None = None
    unavailable: str = ""
    schema_version: int = 1


ABOUT = """\
Clips per second of whole training steps: reading, augmentation, forward and backward pass, guard, optimiser and
averages, as `last-edge train` does them. The settings of all models in one call take turns in one process, so the
*ratio*, the median over rounds of a setting against the plain step of the same model in the same round, is fair even
while the machine does other work; *clips/s* is what was left for this one. Plain is float32, optimiser unfused, not
compiled. *waiting* is the share of time spent waiting for data: not given with workers, which read on while another
setting has its turn. *first step* holds what torch.compile compiles.
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
    return page("Speed of training", ABOUT, rows, columns=COLUMNS, where=where)
