"""`TrainRecord`: how fast one model trains under one setting on one machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from last_edge import records
from last_edge.errors import InputError
from last_edge.files import write_text


@dataclass(frozen=True)
class TrainRecord:
    """One row: model × setting × machine.

    clips_per_s: of whole steps, loading and augmentation included; median over rounds. ratio: to the plain setting of
    the same model, clip for clip, median over rounds of the same round's two figures. p50_ms, p95_ms, p99_ms: a step;
    optimizer_ms: its optimiser, median. waiting: percentage of the time spent waiting for data; None with workers,
    which read on while another lane has its turn. first_s: the first step, with whatever is translated or set up in it.
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


def save_train_records(rows: Sequence[TrainRecord], path: Path) -> None:
    """Write rows as a JSON list."""
    write_text(path, json.dumps([records.to_dict(row) for row in rows], indent=1) + "\n")


def load_train_records(path: Path) -> list[TrainRecord]:
    """Read what `save_train_records` wrote; `InputError` names file, row and field when it does not fit."""
    content = records.read_json(path)
    if not isinstance(content, list):
        hint = "last-edge bench train --out FILE.json"
        raise InputError("not a list of training records", where=path, got=type(content).__name__, hint=hint)
    return [records.from_dict(TrainRecord, row, where=f"{path} › {index}") for index, row in enumerate(content)]
