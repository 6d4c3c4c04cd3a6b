"""Speed of training, setting by setting: every model's lanes take turns in one process, so that ratios are fair."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from last_edge.machine import processor
from last_edge.models import model_names, resolve_name
from last_edge.timing import Schedule, turns
from last_edge.tools.bench.train_lane import PLAIN, Conditions, Lane, Setting
from last_edge.tools.bench.train_record import TrainRecord
from last_edge.train.environment import commit

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
        model=lane.model,
        params=sum(parameter.numel() for parameter in run.trainer.model.parameters()),
        setting=lane.setting.name,
        device=torch.cuda.get_device_name(lane.device) if lane.device.startswith("cuda") else processor(),
        cores=os.cpu_count() or 1,
        platform=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=str(torch.__version__),
        commit=commit(),
        threads=lane.threads,
        batch_size=training.batch_size,
        workers=training.workers,
        recipe=bench.conditions.recipe or "",
        input_shape=run.plan.spec.shape,
        store=run.store.path.name,
        store_sha256=run.store.sha256,
        rounds=bench.schedule.rounds,
        steps=bench.schedule.calls,
        command=bench.command,
        unavailable=lane.unavailable,
        **figures,
    )
