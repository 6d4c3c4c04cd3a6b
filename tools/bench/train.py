"""Speed of training, setting by setting: every model's lanes take turns in one process, so that ratios are fair.

A lane is a model under one setting, stepped as `last-edge train` steps it.
"""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from last_edge.errors import LastEdgeError, UsageError
from last_edge.machine import processor
from last_edge.models import model_names, resolve_name
from last_edge.names import did_you_mean
from last_edge.timing import Schedule, turns
from last_edge.tools.bench.record import page
from last_edge.train.environment import commit
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import Run

PLAIN = "plain"
PLAIN_SETS = ("training.amp=off", "training.fused=off", "training.compile=false")
SWITCHES = {
    PLAIN: (), "bf16": ("training.amp=bf16",), "fp16": ("training.amp=fp16",), "fused": ("training.fused=on",),
    "compile": ("training.compile=true",),
}  # fmt: skip
NUMBERS = {"batch": "training.batch_size", "threads": None}


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
    "ratio": lambda row: row.unavailable or _figure(row.ratio, 2),
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


FAMILIES = ("last_e_", "last_lite_")
COMPILED = "TORCHINDUCTOR_CACHE_DIR"
Times = NDArray[np.float64]
"""(3, rounds, steps) seconds waited, worked, and of these moved weights (see `Step`)."""
Notify = Callable[[str], None]


@dataclass(frozen=True)
class TrainBench:
    """What to measure. schedule.calls: steps a lane takes in each turn. command: noted in every record."""

    models: tuple[str, ...]
    settings: tuple[Setting, ...]
    schedule: Schedule
    conditions: Conditions
    command: str = ""


def family() -> tuple[str, ...]:
    """The models that are measured unless others are named: LAST-E and LAST-Lite."""
    return tuple(name for name in model_names() if name.startswith(FAMILIES))


def bench_training(bench: TrainBench, notify: Notify = lambda text: None) -> list[TrainRecord]:
    """One record a model and setting, in the order given. notify: called with what is going on.

    The settings begin with the plain one. Raises what hinders a model's plain training; a setting that this machine
    lacks something for has a record that says so.
    """
    models = list(dict.fromkeys(resolve_name(name) for name in bench.models))
    with _fresh_torch(bench.conditions.work, lanes=len(models) * len(bench.settings)):
        lanes = [Lane(model, setting, bench.conditions) for model in models for setting in bench.settings]
        firsts = [_warm_up(lane, bench.schedule, notify) for lane in lanes]
        times = _time_in_turns(lanes, bench.schedule, notify)
    plain = {lane.model: (lane, own) for lane, own in zip(lanes, times, strict=True) if lane.setting.name == PLAIN}
    return [
        _record(lane, plain[lane.model][0], bench, _figures(lane, own, first, plain=plain[lane.model]))
        for lane, own, first in zip(lanes, times, firsts, strict=True)
    ]


@contextmanager
def synthetic_store() -> Iterator[Path]:
    """A store of synthetic signs for as long as it is needed, for those who have no data at hand."""
    from last_edge.data.prepare import store_clips
    from last_edge.data.synth import SynthOptions, gloss_names, synthesise

    options = SynthOptions(glosses=10, signers=8, clips_per_gloss_per_signer=3, test_signers=1)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "synthetic")
        store_clips(synthesise(options), name="synth", out=out, labels=tuple(gloss_names(options)), about={})
        yield out


@contextmanager
def _fresh_torch(work: Path, *, lanes: int) -> Iterator[None]:
    """torch.compile finds nothing compiled before, so that a first step is one, and room for every lane.

    Past its limit it would run the rest as written, and not say so. Afterwards threads and cache are as before.
    """
    import torch._dynamo.config as dynamo

    dynamo.recompile_limit = max(dynamo.recompile_limit, 4 * lanes)
    threads, before = torch.get_num_threads(), os.environ.get(COMPILED)
    os.environ[COMPILED] = str(work / "compiled")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        os.environ.pop(COMPILED)
        if before is not None:
            os.environ[COMPILED] = before


def _warm_up(lane: Lane, schedule: Schedule, notify: Notify) -> float:
    """Steps that are not timed; the seconds of the first."""
    if lane.unavailable:
        return 0.0
    notify(f"{lane.model} {lane.setting.name}: first step")
    first = lane.try_first()
    for _ in range(0 if lane.unavailable else schedule.warm_up):
        lane.step()
    return first


def _time_in_turns(lanes: Sequence[Lane], schedule: Schedule, notify: Notify) -> list[Times]:
    """Seconds of every lane; each round starts with another one."""
    times = [np.zeros((3, schedule.rounds, schedule.calls)) for _ in lanes]
    for turn, which in turns(schedule.rounds, len(lanes)):
        lane = lanes[which]
        if not lane.unavailable:
            notify(f"round {turn + 1} of {schedule.rounds}: {lane.model} {lane.setting.name}")
            for number in range(schedule.calls):
                step = lane.step()
                times[which][:, turn, number] = step.waited, step.worked, step.moved
    return times


def _figures(lane: Lane, times: Times, first: float, *, plain: tuple[Lane, Times]) -> dict[str, float | None]:
    """A record's figures, none for a lane that could not run."""
    if lane.unavailable:
        return {}
    clip, steps = _seconds_a_clip(lane, times), times[:2].sum(0)
    p50, p95, p99 = (round(float(value), 3) for value in np.percentile(steps * 1000.0, [50, 95, 99]))
    share = 100.0 * float(times[0].sum() / steps.sum())
    return {
        "clips_per_s": round(float(1.0 / np.median(clip)), 2),
        "ratio": round(float(np.median(_seconds_a_clip(*plain) / clip)), 3),
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "optimizer_ms": round(1000.0 * float(np.median(times[2])), 3),
        "waiting": None if lane.recipe.training.workers else round(share, 2),
        "first_s": round(first, 2),
    }


def _seconds_a_clip(lane: Lane, times: Times) -> NDArray[np.float64]:
    """(rounds,) seconds a clip in each round's median step."""
    return np.asarray(np.median(times[:2].sum(0), axis=1) / lane.recipe.training.batch_size)


def _record(lane: Lane, plain: Lane, bench: TrainBench, figures: dict[str, Any]) -> TrainRecord:
    run, training = plain.started, lane.recipe.training
    return TrainRecord(
        model=lane.model, params=sum(parameter.numel() for parameter in run.trainer.model.parameters()),
        setting=lane.setting.name,
        device=torch.cuda.get_device_name(lane.device) if lane.device.startswith("cuda") else processor(),
        cores=os.cpu_count() or 1, platform=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(), torch=str(torch.__version__), commit=commit(), threads=lane.threads,
        batch_size=training.batch_size, workers=training.workers, recipe=bench.conditions.recipe or "",
        input_shape=run.plan.spec.shape, store=run.store.path.name, store_sha256=run.store.sha256,
        rounds=bench.schedule.rounds, steps=bench.schedule.calls, command=bench.command, unavailable=lane.unavailable,
        **figures,
    )  # fmt: skip
