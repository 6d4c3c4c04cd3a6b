"""A run's folder on disk: claiming it, saving checkpoints and curves into it, finding where to resume."""

import errno
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from last_edge import records
from last_edge.errors import MissingError, UsageError
from last_edge.files import check_free, partials_of, write_text
from last_edge.inputs.spec import InputSpec
from last_edge.tasks.start import trunk_of
from last_edge.tasks.task import Row
from last_edge.train.checkpoint import (
    POINTER,
    RECIPE,
    ModelCard,
    RunPointer,
    prune,
    read_pointer,
    read_trainer,
    write_checkpoint,
)
from last_edge.train.trainer import Trainer

FINAL = "final.json"
METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"
CHANGES = "changes.jsonl"
MORE = "more --epochs go on with it"
CHECKPOINTS = "checkpoints"
BOARD = "tensorboard"
SHOWN = 5
"""Differing settings that a message names."""


class FinishedRun(UsageError):
    """This very run, with these settings, has been done."""


@dataclass(frozen=True)
class Contents:
    """What stays the same in every checkpoint of a run. identity: sha256 of all that decides it; lasting: of what a
    resume must share.

    texts: further files of each checkpoint, by name.
    """

    card: ModelCard
    spec: InputSpec
    labels: tuple[str, ...]
    recipe: str
    environment: dict[str, Any]
    identity: str
    lasting: str = ""
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resume:
    """Where a run goes on. changed: settings that are others than before, [then, now]. finished: it had been done."""

    folder: Path
    changed: dict[str, list[Any]] = field(default_factory=dict)
    finished: bool = False

    @property
    def changes(self) -> list[dict[str, Any]]:
        """Every change so far: after which epoch, and what."""
        path = self.folder / CHANGES
        lines = path.read_bytes().splitlines() if path.is_file() else []
        rows = [records.parse_json(line, where=path) for line in lines]
        if not self.changed:
            return rows
        return [*rows, {"after": self.folder.name, "settings": self.changed}]


def claim(
    out: Path, identity: str, *, lasting: str = "", recipe: str = "", force: bool, may_change: bool = False
) -> Resume | None:
    """The checkpoint to resume from, or None for a fresh start in an empty folder.

    lasting: sha256 of what must be as before where settings `may_change`. recipe: as `dump_recipe` wrote it, to say
    what differs.

    Raises `UsageError` when `out` holds a finished run, one with other settings, or anything else, unless `force`.
    """
    pointer = read_pointer(out) if out.is_dir() and not force else None
    if pointer is None:
        _make_room(out, force=force)
        return None
    last = out / CHECKPOINTS / pointer.last
    before, finished = read_trainer(last), pointer.finished and (out / FINAL).exists()
    if before.get("identity") == identity:
        if finished:
            raise FinishedRun(
                "this run is finished", where=out, hint=f"{MORE}; last-edge eval, another --out, or --force"
            )
        return Resume(last)
    old, new = dict(_flat(yaml.safe_load((last / RECIPE).read_text()))), dict(_flat(yaml.safe_load(recipe) or {}))
    differ = [key for key in new if new[key] != old.get(key) and not key.startswith("quantize.")]
    found = {key: [old.get(key), new[key]] for key in differ}
    if may_change and lasting and before.get("lasting") == lasting:
        return Resume(last, found, finished)
    hint = "the same flags to resume, another --out, or --force to start over"
    got = differences(found) or "another store, other starting weights or other teachers"
    raise UsageError("this run was started with other settings", where=out, got=got, hint=hint)


def differences(changed: dict[str, list[Any]]) -> str:
    """A few of them, as "key then -> now"."""
    return ", ".join(f"{key} {then} -> {now}" for key, (then, now) in list(changed.items())[:SHOWN])


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys with those they stand under, `training.lr`, and their values."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _make_room(out: Path, *, force: bool) -> None:
    """Empty `out` of an earlier run; refuse a folder with anything else in it."""
    if not _only_begun(out):
        check_free(out, force=force, marker=POINTER)
    for name in (POINTER, FINAL, METRICS, TIMING, RECIPE, CHANGES):
        (out / name).unlink(missing_ok=True)
        for left in partials_of(out / name):
            left.unlink()
    if (out / CHECKPOINTS).is_dir():
        prune(out, keep=set())
    shutil.rmtree(out / BOARD, ignore_errors=True)


def _only_begun(out: Path) -> bool:
    """Whether `out` holds nothing but what a run leaves that was killed before its first checkpoint was pointed to."""
    if not out.is_dir():
        return False
    left = {out / CHECKPOINTS, *(item for name in (POINTER, METRICS, RECIPE) for item in partials_of(out / name))}
    return {*out.iterdir()} <= left


@contextmanager
def room_on_disk(out: Path, *, of: str = "a checkpoint") -> Iterator[None]:
    """`MissingError` for a full disk; what was whole before, as the last checkpoint, still is."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        hint = "make room, then the same command to resume from what is whole"
        raise MissingError(f"no space left for {of}", where=out, got=error, hint=hint) from error


def save(out: Path, name: str, *, trainer: Trainer, contents: Contents, finished: bool, keep: Sequence[str]) -> None:
    """Write a checkpoint, then point to it, then drop those nobody needs: a kill in between loses nothing.

    Every process calls it, the first one writes.
    """
    progress, state = trainer.progress, trainer.state()
    if not trainer.processes.first:
        return
    history = "".join(json.dumps(row) + "\n" for row in progress.history)
    with room_on_disk(out):
        write_checkpoint(
            out / CHECKPOINTS / name,
            weights=shipped(trainer, contents.card),
            card=contents.card,
            spec=contents.spec,
            labels=contents.labels,
            texts={
                RECIPE: contents.recipe,
                METRICS: history,
                "env.json": records.as_json(contents.environment),
                **contents.texts,
            },
            trainer=state | {"identity": contents.identity, "lasting": contents.lasting},
        )
        records.save(RunPointer(best=progress.best or name, last=name, finished=finished), out / POINTER)
        write_text(out / METRICS, history)
        write_text(out / RECIPE, contents.recipe)
        if CHANGES in contents.texts:
            write_text(out / CHANGES, contents.texts[CHANGES])
    prune(out, keep={name, progress.best or name, *keep})


def shipped(trainer: Trainer, card: ModelCard) -> dict[str, Tensor]:
    """The weights that a checkpoint holds for use: the whole model's, or its trunk's."""
    return trunk_of(trainer.deployed()) if card.trunk_only else trainer.deployed()


def log_timing(out: Path, row: dict[str, float]) -> None:
    """Add an epoch's speed to timing.jsonl; kept apart from metrics.jsonl, which a repeated run gives again."""
    with room_on_disk(out), (out / TIMING).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


class TensorBoardLog:
    """Writes RUN/tensorboard; a resumed run adds a file to the folder, and TensorBoard joins them.

    The file is opened with the first row, so that a run that never got so far leaves nothing behind.
    """

    def __init__(self, out: Path) -> None:
        self.folder, self._open = out / "tensorboard", _writer_class()
        self._writer: Any = None

    def add(self, row: Row) -> None:
        """Write one epoch."""
        self._writer = self._writer or self._open(str(self.folder))
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()


def _writer_class() -> Any:
    """torch's writer; `MissingError` where its package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        hint = "pip install 'last-edge[tensorboard]', or --set training.tensorboard=false"
        raise MissingError("TensorBoard is not installed", got=error, hint=hint) from error
    return SummaryWriter
