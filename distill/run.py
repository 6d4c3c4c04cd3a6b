"""Distilling trained runs into a smaller model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from last_edge import records
from last_edge.clips.store import ClipStore
from last_edge.distill.answers import (
    DEFAULT_NAME,
    OnView,
    answers_on_disk,
    cached_clips,
    check_cacheable,
    header_of,
    in_silence,
    missing_views,
    probe_of,
    read_answers,
    shapes_of,
    views_of,
)
from last_edge.distill.cache import HEADER, CacheHeader, Source, Teachers, bytes_of, check_current
from last_edge.distill.objective import Distillation, LossMap, entries_in_use, stages_wanted
from last_edge.distill.streams import check_stream_recipe, check_stream_teachers, stream_distillation
from last_edge.errors import InputError, UsageError
from last_edge.models import create_model
from last_edge.tasks.class_learner import cross_entropy, reads_features
from last_edge.tasks.config import DistillConfig, Recipe
from last_edge.tasks.objective import Objective
from last_edge.tasks.plan import Plan, make_plan
from last_edge.tasks.registry import STREAMING, task_of
from last_edge.tasks.stream.learner import frame_objective
from last_edge.train.checkpoint import Checkpoint, read_teacher, weights_sha256
from last_edge.train.request import Report, Request, silent
from last_edge.train.run import run_training


def run_distillation(
    request: Request, teachers: Sequence[Path | Checkpoint], *, cache: Path | None = None, beside: Path | None = None,
    answers: Path | None = None, report: Report = silent,
) -> dict[str, Any]:  # fmt: skip
    """Train the recipe's model with the help of `teachers`, runs or bundles with weights, or what `read_teacher` made
    of them. Returns final.json's content.

    cache, beside: where a recipe with `distill.cache: on` keeps the teachers' answers; see `ask_once`.
    answers: a finished cache that stands for teachers which are not here, as those of a GPU elsewhere. Raises
    `InputError` when a teacher reads another layout or names other labels than the student's store, or the cache is
    stale, and `UsageError` when the recipe's loss map, weights or cache do not fit the teachers, or its model reads
    features.
    """
    wanted = request.recipe
    if reads_features(wanted):
        hint = "last-edge train, or a student that reads landmarks alone"
        raise UsageError("a model with a second input is not distilled", where=wanted.model.name, hint=hint)
    if task_of(wanted.model.name) is STREAMING:
        return _run_stream(request, teachers, cache=cache, answers=answers, report=report)
    checkpoints: list[Checkpoint] = []
    source: Source | None
    if answers is not None:
        source, header = read_answers(answers, make_plan(ClipStore.open(request.store), wanted), wanted)
        extra = f"answers {records.digest(header)}"
    else:
        checkpoints = _read(teachers)
        check_weights(wanted, checkpoints)
        source = ask_once(request, checkpoints, cache, beside=beside)
        extra = _identity(checkpoints)

    def make_objective(recipe: Recipe, plan: Plan, device: str) -> Objective:
        check_teachers(checkpoints, plan)
        return distillation(source or live(checkpoints, recipe, device), checkpoints, recipe, plan)

    whole = dataclasses.replace(request, extra=extra, views=views_of(wanted))
    return run_training(whole, make_objective=make_objective, report=report)


def _run_stream(
    request: Request, teachers: Sequence[Path | Checkpoint], *, cache: Path | None, answers: Path | None,
    report: Report,
) -> dict[str, Any]:  # fmt: skip
    """`run_distillation` of a student for streams, whose teachers answer at every step."""
    refuse_kept(request.recipe, cache or answers)
    checkpoints = _read(teachers)

    def make_objective(recipe: Recipe, plan: Plan, device: str) -> Objective:
        return stream_distillation(checkpoints, frame_objective(recipe), recipe, plan, device)

    whole = dataclasses.replace(request, extra=_identity(checkpoints))
    return run_training(whole, make_objective=make_objective, report=report)


def _read(teachers: Sequence[Path | Checkpoint]) -> list[Checkpoint]:
    return [read_teacher(teacher) if isinstance(teacher, Path) else teacher for teacher in teachers]


def _identity(teachers: Sequence[Checkpoint]) -> str:
    """What tells a run with these teachers from one with others."""
    return "\n".join(f"teacher {weights_sha256(teacher)}" for teacher in teachers)


def _describe_stream(
    request: Request, teachers: Sequence[Path], *, cache: Path | None, answers: Path | None
) -> dict[str, Any]:
    """`describe_distillation` of a student for streams."""
    refuse_kept(request.recipe, cache or answers)
    checkpoints = [read_teacher(path) for path in teachers]
    check_stream_teachers(checkpoints, request.recipe, STREAMING.plan(ClipStore.open(request.store), request.recipe))
    told = [_teacher(path, checkpoint) for path, checkpoint in zip(teachers, checkpoints, strict=True)]
    return {"teachers": told, "loss": formula(request.recipe.distill)}


def refuse_kept(recipe: Recipe, kept: Path | None) -> None:
    """`UsageError` for a student of streams that is to learn from kept answers: each of its crops is new."""
    if kept is not None:
        hint = "last-edge distill --teacher RUN, without a cache"
        raise UsageError("crops of recordings are new every epoch, so no answers are kept", got=kept, hint=hint)
    check_stream_recipe(recipe)


def ask_once(
    request: Request, teachers: Sequence[Checkpoint], cache: Path | None, *, beside: Path | None = None,
    on_view: OnView = in_silence,
) -> Source | None:  # fmt: skip
    """The cache of a request, completed where answers are missing; None for a recipe without one.

    cache: its folder, by default that of `default_cache`, beside the run or what `beside` names. on_view: see
    `answers.fill`.
    """
    recipe = request.recipe
    if task_of(recipe.model.name) is STREAMING:
        refuse_kept(recipe, cache)
    if recipe.distill.cache == "off":
        return None
    plan = make_plan(ClipStore.open(request.store), recipe)
    check_teachers(teachers, plan)
    folder = cache or default_cache(beside or request.out, header_of(teachers, plan, recipe))
    return answers_on_disk(teachers, plan, recipe, folder=folder, device=request.device, on_view=on_view)


def default_cache(out: Path, header: CacheHeader) -> Path:
    """Where answers lie when nobody says: beside the run, so that the runs next to it find them, each kind apart."""
    return out.absolute().parent / DEFAULT_NAME / records.digest(header)[:12]


def live(teachers: Sequence[Checkpoint], recipe: Recipe, device: str) -> Teachers:
    """The teachers themselves, asked at every step."""
    models = [checkpoint.model.to(device) for checkpoint in teachers]
    return Teachers(models, wanted=stages_wanted(recipe.distill))


def distillation(source: Source, teachers: Sequence[Checkpoint], recipe: Recipe, plan: Plan) -> Distillation:
    """The recipe's objective, with the projections its loss map needs."""
    plain = cross_entropy(recipe, plan, "cpu")
    return Distillation(source, plain, recipe.distill, loss_map=loss_map(teachers, recipe, plan))


def loss_map(teachers: Sequence[Checkpoint], recipe: Recipe, plan: Plan) -> LossMap | None:
    """The recipe's loss map for its student; None where nothing in it counts."""
    entries = entries_in_use(recipe.distill)
    if not entries:
        return None
    with torch.device("meta"):
        student = create_model(
            recipe.model.name, spec=plan.spec, classes=len(plan.store.labels), **recipe.model.options
        )
    widths = [teacher.model.stage_widths() for teacher in teachers]
    return LossMap(entries, student=student.stage_widths(), teachers=widths, seed=recipe.seed)


def check_weights(recipe: Recipe, teachers: Sequence[Checkpoint]) -> None:
    """`UsageError` unless there is one weight for each teacher, or none at all."""
    got = len(recipe.distill.teacher_weights)
    if got not in (0, len(teachers)):
        raise UsageError(
            "one weight for each teacher", where="distill.teacher_weights", expected=len(teachers), got=got
        )


def check_teachers(teachers: Sequence[Checkpoint], plan: Plan) -> None:
    """`InputError` unless every teacher can read the points that the student gets, and names the same classes."""
    for teacher in teachers:
        if teacher.model.features is not None:
            expected, hint = "landmarks alone", "a teacher with one input; features are not handed on to it"
            got = teacher.model.features.name
            raise InputError("teacher reads features", where=teacher.path, expected=expected, got=got, hint=hint)
        if teacher.labels != plan.store.labels:
            raise InputError(
                "teacher knows other labels", where=teacher.path, expected=plan.store.labels, got=teacher.labels
            )
        if teacher.spec.layout != plan.spec.layout:
            expected, got = plan.spec.layout.name, teacher.spec.layout.name
            hint = "a teacher trained on a store of the student's layout"
            raise InputError("teacher reads another layout", where=teacher.path, expected=expected, got=got, hint=hint)
        if teacher.spec.channels != plan.spec.channels:
            expected, got = f"{plan.spec.channels} axes", f"{teacher.spec.channels} axes"
            raise InputError("teacher reads other points", where=teacher.path, expected=expected, got=got)
        if teacher.spec.bodies > plan.spec.bodies:
            hint = f"--set input.bodies={teacher.spec.bodies}; the model's option `bodies` says which it reads"
            expected, got = f"at most {plan.spec.bodies} bodies", f"{teacher.spec.bodies} bodies"
            raise InputError("teacher reads more bodies", where=teacher.path, expected=expected, got=got, hint=hint)


def describe_distillation(
    request: Request, teachers: Sequence[Path], *, cache: Path | None = None, answers: Path | None = None
) -> dict[str, Any]:
    """Teachers, loss, loss map and cache of a request; raises what the run itself would raise about them."""
    if task_of(request.recipe.model.name) is STREAMING:
        return _describe_stream(request, teachers, cache=cache, answers=answers)
    plan = make_plan(ClipStore.open(request.store), request.recipe)
    if answers is not None:
        source, header = read_answers(answers, plan, request.recipe)
        held = {"teachers": len(header.teachers), "views": len(source.logits), "clips": len(source.clips)}
        return {"loss": formula(request.recipe.distill), "answers": {"folder": str(answers), **held, "tau": header.tau}}
    checkpoints = [read_teacher(path) for path in teachers]
    check_weights(request.recipe, checkpoints)
    check_teachers(checkpoints, plan)
    map_ = loss_map(checkpoints, request.recipe, plan)
    projections = 0 if map_ is None else sum(parameter.numel() for parameter in map_.parameters())
    return {
        "teachers": [_teacher(path, checkpoint) for path, checkpoint in zip(teachers, checkpoints, strict=True)],
        "loss": formula(request.recipe.distill),
        "loss_map": [
            f"stage {entry.student} <- stage {entry.teacher}"
            f"{f' of teacher {entry.of}' if len(checkpoints) > 1 else ''}: {entry.weight:g} * {entry.loss}"
            for entry in entries_in_use(request.recipe.distill)
        ],
        "projection_params": projections,
        "cache": _cache(request, checkpoints, plan, cache),
    }


def formula(config: DistillConfig) -> str:
    """The loss with its weights."""
    extra = {
        "kl": "",
        "dkd": f", alpha {config.dkd_alpha:g}, beta {config.dkd_beta:g}",
        "dist": f", beta {config.dist_beta:g}, gamma {config.dist_gamma:g}",
    }
    text = f"{config.a:g} * cross entropy + {config.b:g} * {config.soft} (tau {config.tau:g}{extra[config.soft]})"
    return text + (f" + {config.g:g} * loss map" if entries_in_use(config) else "")


def _cache(request: Request, teachers: Sequence[Checkpoint], plan: Plan, folder: Path | None) -> dict[str, Any] | None:
    """What the cache of a request holds and has already; None for a recipe without one."""
    recipe = request.recipe
    if recipe.distill.cache == "off":
        return None
    check_cacheable(recipe)
    clips, header = cached_clips(plan, recipe), header_of(teachers, plan, recipe)
    folder = folder or default_cache(request.out, header)
    if (folder / HEADER).exists():
        check_current(folder, header, probe_of(clips))
    shapes = shapes_of(live(teachers, recipe, "cpu"), clips, device="cpu")
    return {
        "folder": str(folder),
        "views": clips.views,
        "views_there": clips.views - len(missing_views(folder, clips.views)),
        "clips": len(clips),
        "arrays": {name: list(shape) for name, shape in shapes.items()},
        "bytes": clips.views * sum(bytes_of(shape) for shape in shapes.values()),
    }


def _teacher(path: Path, checkpoint: Checkpoint) -> str:
    spec = checkpoint.spec
    params = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    return f"{path}: {checkpoint.card.name}, {params} parameters, {spec.frames} frames, {'+'.join(spec.streams)}"
