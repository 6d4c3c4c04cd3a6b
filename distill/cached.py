"""From a request to distil to the teachers' answers on disk."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from last_edge import records
from last_edge.data.dataset import ClipDataset
from last_edge.distill.cache import (
    HEADER,
    PROBE,
    CacheHeader,
    TeacherCache,
    check_current,
    load_array,
    name_of,
)
from last_edge.distill.fill_cache import OnView, fill, in_silence, missing_views, probe_of
from last_edge.distill.loss_map import stages_wanted
from last_edge.distill.losses import ensemble_logits
from last_edge.distill.teachers import Teachers
from last_edge.errors import InputError, UsageError
from last_edge.files import sha256_of
from last_edge.tasks.config import Recipe
from last_edge.tasks.plan import Plan
from last_edge.train.checkpoint import WEIGHTS, Checkpoint
from last_edge.train.request import Views, ranges

DEFAULT_NAME = "teacher_cache"


def answers_on_disk(
    teachers: Sequence[Checkpoint],
    plan: Plan,
    recipe: Recipe,
    *,
    folder: Path,
    device: str,
    on_view: OnView = in_silence,
) -> TeacherCache:
    """The teachers' answers to every training clip in every view, computed where they are not in `folder` yet.

    They are computed in float32 whatever the student's precision. Clips held out for validation are asked about too, so
    that students with other held-out subjects can share the cache. Raises as `fill` does, and `UsageError` where the
    recipe leaves nothing to cache.
    """
    check_cacheable(recipe)
    wanted, clips = stages_wanted(recipe.distill), cached_clips(plan, recipe)
    models = Teachers([checkpoint.model.to(device) for checkpoint in teachers], wanted=wanted)
    fill(
        folder, header_of(teachers, plan, recipe), clips,
        teachers=models, device=device, workers=recipe.training.workers, on_view=on_view,
    )  # fmt: skip
    return TeacherCache(folder, clips=clips.clips, views=clips.views, wanted=wanted)


def read_answers(folder: Path, plan: Plan, recipe: Recipe) -> tuple[TeacherCache, CacheHeader]:
    """Answers of teachers that are not here, and what decided them.

    Raises `InputError` where they are about other clips or augmentations than the recipe's, and `UsageError` where the
    recipe wants more than logits or weighs teachers that it cannot tell apart.
    """
    check_cacheable(recipe)
    if stages_wanted(recipe.distill):
        hint = "--set distill.losses=[], or --teacher RUN"
        raise UsageError("answers hold no feature maps", where=folder, hint=hint)
    if recipe.distill.teacher_weights:
        hint = "--set distill.teacher_weights=[]"
        raise UsageError("answers are weighed where they are made", where="distill.teacher_weights", hint=hint)
    found, clips = records.load(CacheHeader, folder / HEADER), cached_clips(plan, recipe)
    wanted = dataclasses.replace(header_of([], plan, recipe), teachers=found.teachers)
    check_current(folder, wanted, probe_of(clips))
    absent = missing_views(folder, clips.views)
    if absent:
        hint = f"--set distill.cache_views={absent[0]}"
        raise InputError("answers to some views are missing", where=folder, expected=f"{clips.views} views", hint=hint)
    return TeacherCache(folder, clips=clips.clips, views=clips.views), found


def merge_answers(source: Path, target: Path, *, weights: Sequence[float] = (), tau: float) -> None:
    """Write a cache that holds the teachers of `source` as one: the logits of their mean probability at `tau`."""
    header = records.load(CacheHeader, source / HEADER)
    share = torch.tensor(weights or [1.0] * len(header.teachers))
    target.mkdir(parents=True)
    shutil.copyfile(source / PROBE, target / PROBE)
    for view in sorted(source.glob("view-*")):
        logits = torch.from_numpy(np.array(load_array(view / "logits.npy")))
        merged = ensemble_logits(logits, share, tau)[:, None].numpy()
        (target / view.name).mkdir()
        np.save(target / view.name / "logits.npy", merged.astype(np.float16).astype(np.float32))
    records.save(dataclasses.replace(header, maps=()), target / HEADER)


def views_of(recipe: Recipe) -> Views | None:
    """The augmentations that the run's epochs cycle through; None where each epoch draws its own."""
    count = recipe.distill.cache_views
    return Views(count, recipe.distill.cache_seed) if count else None


def check_cacheable(recipe: Recipe) -> None:
    """`UsageError` unless the same points come again, and all that is asked for is to be kept."""
    d = recipe.distill
    if not d.cache_views:
        hint = "--set distill.cache_views=8, or no cache"
        raise UsageError(
            "augmentations that are new every epoch cannot be cached", where="distill.cache_views", hint=hint
        )
    if recipe.training.mixup:
        hint = "--set training.mixup=0, or no cache"
        raise UsageError("mixed clips cannot be cached", where="training.mixup", hint=hint)
    if stages_wanted(d) and not d.cache_features:
        hint = "--set distill.cache_features=true (--dry-run says how large), --set distill.g=0, or no cache"
        raise UsageError(
            "the loss map needs feature maps, which this cache leaves out", where="distill.losses", hint=hint
        )


def cached_clips(plan: Plan, recipe: Recipe) -> ClipDataset:
    """All labelled clips of the store's training split, whoever is held out, in the recipe's views."""
    train = plan.store.select(split="train")
    clips = train[plan.store.index.label[train] >= 0]
    d = recipe.distill
    return ClipDataset(
        plan.store, clips, spec=plan.spec, ranges=ranges(recipe.augment), seed=d.cache_seed, views=d.cache_views
    )


def header_of(teachers: Sequence[Checkpoint], plan: Plan, recipe: Recipe) -> CacheHeader:
    """What decides the answers that a recipe's student wants."""
    return CacheHeader(
        store_sha256=plan.store.sha256,
        teachers=tuple(teacher_sha256(checkpoint) for checkpoint in teachers),
        points=plan.spec.shape,
        augment=dataclasses.asdict(ranges(recipe.augment)),
        seed=recipe.distill.cache_seed,
        maps=tuple(name_of(stage) for stage in stages_wanted(recipe.distill)),
    )


def teacher_sha256(checkpoint: Checkpoint) -> str:
    """Identity of a teacher: its weights, how it is built and what it reads."""
    parts = (sha256_of(checkpoint.path / WEIGHTS), records.digest(checkpoint.card), checkpoint.spec.sha256)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
