"""Settings of a training side by side, and one model under one of them, stepped as `last-edge train` steps it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from last_edge.errors import LastEdgeError, UsageError
from last_edge.names import did_you_mean
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import Run

PLAIN = "plain"
PLAIN_SETS = ("training.amp=off", "training.fused=off", "training.compile=false")
SWITCHES = {
    PLAIN: (),
    "bf16": ("training.amp=bf16",),
    "fp16": ("training.amp=fp16",),
    "fused": ("training.fused=on",),
    "compile": ("training.compile=true",),
}
NUMBERS = {"batch": "training.batch_size", "threads": None}


@dataclass(frozen=True)
class Setting:
    """One way to train. sets: recipe values, the plain ones first. threads: None for those of the whole benchmark."""

    name: str
    sets: tuple[str, ...]
    threads: int | None = None


def parse_settings(texts: Sequence[str]) -> list[Setting]:
    """Settings by name, parts joined with `+`; `plain`, which all are compared with, comes first, asked for or not."""
    return [_parse(name) for name in dict.fromkeys([PLAIN, *texts])]


def _parse(name: str) -> Setting:
    sets: list[str] = list(PLAIN_SETS)
    threads = None
    for part in name.split("+"):
        key, equals, value = part.partition("=")
        if equals and key in NUMBERS:
            if not value.isdecimal() or int(value) < 1:
                hint = "--settings plain,batch=64"
                raise UsageError("a setting's number is a whole one above 0", got=part, hint=hint)
            number = int(value)
            threads = number if key == "threads" else threads
            sets += [] if key == "threads" else [f"{NUMBERS[key]}={number}"]
        elif not equals and key in SWITCHES:
            sets += SWITCHES[key]
        else:
            known = [*SWITCHES, *(f"{number}=N" for number in NUMBERS)]
            raise UsageError(f"unknown setting {part!r}", where=name, expected=did_you_mean(part, known))
    return Setting(name, tuple(sets), threads)


@dataclass(frozen=True)
class Conditions:
    """What all lanes share. recipe: a name or file, None for the defaults; sets: changes to it. work: a free folder."""

    store: Path
    work: Path
    recipe: str | None = None
    sets: tuple[str, ...] = ()
    threads: int = 1
    device: str = "cpu"


@dataclass(frozen=True)
class Step:
    """Seconds of one step: waited for the batch, then worked with it, and of that the optimiser's move."""

    waited: float
    worked: float
    moved: float


class Lane:
    """A training that takes a step when asked. unavailable: why it cannot, empty while it can."""

    def __init__(self, model: str, setting: Setting, conditions: Conditions) -> None:
        self.model, self.setting, self.device = model, setting, conditions.device
        self.threads = setting.threads or conditions.threads
        self.recipe = load_recipe(conditions.recipe, overrides=[*conditions.sets, *setting.sets, f"model.name={model}"])
        self.unavailable = ""
        self._moved = 0.0
        self._run = self._start(conditions)
        self._batches = self._endless()

    @property
    def started(self) -> Run:
        """The run behind the lane, which every plain lane has."""
        if self._run is None:
            raise RuntimeError(self.unavailable)
        return self._run

    def step(self) -> Step:
        """Take in the next batch, on this lane's own number of threads."""
        torch.set_num_threads(self.threads)
        before = time.perf_counter()
        points, labels = next(self._batches)
        came = time.perf_counter()
        self.started.trainer.step(points, labels)
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        return Step(came - before, time.perf_counter() - came, self._moved)

    def try_first(self) -> float:
        """Seconds of the first step, in which torch.compile compiles; what fails there makes the lane unavailable."""
        try:
            step = self.step()
        except RuntimeError as error:
            if self.setting.name == PLAIN:
                raise
            self.unavailable = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            return 0.0
        return step.waited + step.worked

    def _start(self, conditions: Conditions) -> Run | None:
        """The run to step through; what hinders the plain one hinders all, and is raised."""
        folder = conditions.work / f"{self.model}-{self.setting.name}"
        try:
            run = Run(Request(self.recipe, conditions.store, folder, self.device))
            size, clips = self.recipe.training.batch_size, len(run.plan.train)
            if clips < size:
                hint = f"--batch-size {clips}, or another --store"
                raise UsageError(
                    "too few training clips for a batch", where=run.store.path, expected=size, got=clips, hint=hint
                )
        except LastEdgeError as error:
            if self.setting.name == PLAIN:
                raise
            self.unavailable = error.what + (f": {error.got}" if error.got else "")
            return None
        self._watch(run.trainer.optimizer)
        return run

    def _watch(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep the time of the optimiser's latest move; on a GPU, of launching it."""

        def begin(*_: object) -> None:
            self._moved = -time.perf_counter()

        def end(*_: object) -> None:
            self._moved += time.perf_counter()

        optimizer.register_step_pre_hook(begin)
        optimizer.register_step_post_hook(end)

    def _endless(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batch after batch, epoch after epoch."""
        while True:
            yield from self.started.rest_of_epoch()
            self.started.trainer.end_epoch()
