"""The teachers' answers on disk: asked for once, completed after a kill, and taken over from elsewhere.

Every training clip is asked about in every view, in order, so that a kill loses a few batches at most.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from last_edge import records
from last_edge.data.dataset import ClipDataset
from last_edge.distill.cache import (
    HEADER,
    LOGITS,
    PROBE,
    PROBED_CLIPS,
    Answers,
    CacheHeader,
    RowFiles,
    Shape,
    TeacherCache,
    Teachers,
    bytes_of,
    check_current,
    load_array,
    name_of,
    stage_named,
    view_folder,
)
from last_edge.distill.objective import ensemble_logits, stages_wanted
from last_edge.errors import MissingError, UsageError
from last_edge.files import fsync_path, partials_of, writing, writing_folder
from last_edge.inputs.spec import Points
from last_edge.tasks.class_learner import ranges
from last_edge.tasks.config import Recipe
from last_edge.tasks.plan import Plan
from last_edge.tasks.task import Views
from last_edge.train.checkpoint import Checkpoint, weights_sha256
from last_edge.train.run_folder import room_on_disk

LOCK = ".lock"
BATCH, GPU_BATCH = 64, 512
BATCHES_A_SYNC = 8
DEFAULT_NAME = "teacher_cache"
OnView = Callable[[int, int], None]


def in_silence(view: int, views: int) -> None:
    """An `on_view` that tells nobody."""


def answers_on_disk(
    teachers: Sequence[Checkpoint], plan: Plan, recipe: Recipe, *, folder: Path, device: str,
    on_view: OnView = in_silence,
) -> TeacherCache:  # fmt: skip
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
    d, views = recipe.distill, len(list(folder.glob("view-*")))
    if stages_wanted(d):
        hint = "--set distill.losses=[], or --teacher RUN"
        raise UsageError("answers hold no feature maps", where=folder, hint=hint)
    if d.teacher_weights:
        hint = "--set distill.teacher_weights=[]"
        raise UsageError("answers are weighed where they are made", where="distill.teacher_weights", hint=hint)
    found, clips = records.load(CacheHeader, folder / HEADER), cached_clips(plan, recipe)
    if not 0 < d.cache_views <= views:
        hint = f"--set distill.cache_views={views}" if views else "a finished cache, with view-0000 in it"
        raise UsageError("other views than were answered", where=folder, expected=f"1 to {views}", got=d.cache_views,
                         hint=hint)  # fmt: skip
    check_cacheable(recipe)
    if found.tau not in (0, d.tau):
        hint = f"--set distill.tau={found.tau:g}"
        raise UsageError("merged at another temperature", where=folder, expected=d.tau, got=found.tau, hint=hint)
    wanted = dataclasses.replace(header_of([], plan, recipe), teachers=found.teachers)
    check_current(folder, wanted, probe_of(clips), hint="answers to this store, by this recipe's augment and input")
    return TeacherCache(folder, clips=clips.clips, views=clips.views), found


def merge_answers(source: Path, target: Path, *, weights: Sequence[float] = (), tau: float) -> None:
    """Write a cache that holds the teachers of `source` as one: the logits of their mean probability at `tau`.

    They are rounded to float16's steps, so that the folder packs well. Source: `ensemble_logits`.
    """
    header = records.load(CacheHeader, source / HEADER)
    share = torch.tensor(weights or [1.0] * len(header.teachers))
    with writing_folder(target, marker=HEADER) as partial:
        shutil.copyfile(source / PROBE, partial / PROBE)
        for view in sorted(source.glob("view-*")):
            logits = torch.from_numpy(np.array(load_array(view / LOGITS)))
            (partial / view.name).mkdir()
            np.save(partial / view.name / LOGITS, ensemble_logits(logits, share, tau)[:, None].half().float().numpy())
        merged_at = tau if len(header.teachers) > 1 else 0.0
        records.save(dataclasses.replace(header, maps=(), tau=merged_at), partial / HEADER)


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
        store_sha256=plan.store.sha256, teachers=tuple(teacher_sha256(checkpoint) for checkpoint in teachers),
        points=plan.spec.shape, augment=dataclasses.asdict(ranges(recipe.augment)), seed=recipe.distill.cache_seed,
        maps=tuple(name_of(stage) for stage in stages_wanted(recipe.distill)),
    )  # fmt: skip


def teacher_sha256(checkpoint: Checkpoint) -> str:
    """Identity of a teacher: its weights, how it is built and what it reads."""
    parts = (weights_sha256(checkpoint), records.digest(checkpoint.card), checkpoint.spec.sha256)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def fill(
    folder: Path, header: CacheHeader, clips: ClipDataset, *, teachers: Teachers, device: str, workers: int = 0,
    on_view: OnView = in_silence,
) -> None:  # fmt: skip
    """Complete the cache in `folder`: what is whole stays, what was begun goes on where it stopped.

    clips: those to ask about, in order, with the views that are to be there. Of several processes that want the same
    cache one works and the others wait. on_view: called with each view's number before the teachers are asked about it.
    Raises `InputError` when the folder answers another question, `UsageError` when it holds other things, and
    `MissingError` when the disk is or would be full.
    """
    if (folder / HEADER).exists() and not missing_views(folder, clips.views):
        check_current(folder, header, probe_of(clips))
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / LOCK), room_on_disk(folder, of="the teacher cache"):
        kept = _claim(folder, header, probe_of(clips))
        teachers = Teachers(teachers.models, wanted=[stage_named(name) for name in kept.maps])
        shapes = shapes_of(teachers, clips, device=device)
        views = missing_views(folder, clips.views)
        needed = len(views) * sum(bytes_of(shape) for shape in shapes.values())
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise MissingError(
                "no room for the teacher cache", where=folder, expected=f"{needed} bytes", got=f"{free} bytes free",
                hint="fewer distill.cache_views, or --cache on another disk",
            )  # fmt: skip
        for view in views:
            on_view(view, clips.views)
            _fill_view(
                view_folder(folder, view), shapes, clips, view, teachers=teachers, device=device, workers=workers
            )


def missing_views(folder: Path, views: int) -> list[int]:
    """The views that are not whole yet."""
    return [view for view in range(views) if not view_folder(folder, view).exists()]


def probe_of(clips: ClipDataset) -> Points:
    """Points of the first clips in view 0, by which a changed augmentation is known."""
    clips.epoch = 0
    return np.stack([clips[item][0].numpy() for item in range(min(PROBED_CLIPS, len(clips)))])


def shapes_of(teachers: Teachers, clips: ClipDataset, *, device: str) -> dict[str, Shape]:
    """Shape of each array of a view, by name; asks the teachers about one clip."""
    points, _, clip = clips[0]
    one = _arrays(teachers(points[None].to(device), torch.tensor([clip]), 0))
    return {name: (len(clips), *array.shape[1:]) for name, array in one.items()}


def _arrays(answers: Answers) -> dict[str, Tensor]:
    return {"logits": answers.logits} | {f"map-{name_of(stage)}": x for stage, x in answers.maps.items()}


def _fill_view(
    target: Path, shapes: dict[str, Shape], clips: ClipDataset, view: int, *, teachers: Teachers, device: str,
    workers: int,
) -> None:  # fmt: skip
    clips.epoch = view
    partial = target.with_name(f".{target.name}.partial")
    partial.mkdir(exist_ok=True)
    batch = GPU_BATCH if device.startswith("cuda") else BATCH
    with RowFiles(partial, shapes, batch=batch) as files:
        left = range(files.done, len(clips))
        for number, (points, _, ids) in enumerate(DataLoader(clips, batch, sampler=left, num_workers=workers)):
            answers = teachers(points.to(device), ids, view)
            files.append({name: array.float().cpu().numpy() for name, array in _arrays(answers).items()})
            if number % BATCHES_A_SYNC == 0:
                files.sync()
        files.sync()
    fsync_path(partial)
    partial.replace(target)
    fsync_path(target.parent)


def _claim(folder: Path, header: CacheHeader, probe: Points) -> CacheHeader:
    """Make an empty folder this cache's, or see that it is it already. Returns its header, which may keep more maps."""
    if (folder / HEADER).exists():
        return check_current(folder, header, probe)
    own = {LOCK, PROBE, *(item.name for name in (PROBE, HEADER) for item in partials_of(folder / name))}
    strange = sorted({item.name for item in folder.iterdir()} - own)
    if strange:
        raise UsageError(
            "not a teacher cache", where=folder, expected=HEADER, got=strange, hint="another --cache folder"
        )
    with writing(folder / PROBE) as stream:
        np.save(stream, probe)
    records.save(header, folder / HEADER)
    return header


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process holds the lock; a process that ends lets go of it."""
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
