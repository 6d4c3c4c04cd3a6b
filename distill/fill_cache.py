"""Asking the teachers once: every training clip in every view, in order, so that a kill loses a few batches at most."""

from __future__ import annotations

import errno
import fcntl
import shutil
from collections.abc import Callable, Iterator
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
    PROBE,
    PROBED_CLIPS,
    CacheHeader,
    check_current,
    name_of,
    stage_named,
    view_folder,
)
from last_edge.distill.rows import RowFiles, Shape, bytes_of
from last_edge.distill.teachers import Answers, Teachers
from last_edge.errors import MissingError, UsageError
from last_edge.files import fsync_path, partial_name, writing
from last_edge.inputs.transforms import Points

LOCK = ".lock"
BATCH, GPU_BATCH = 64, 512
BATCHES_A_SYNC = 8
OnView = Callable[[int, int], None]


def in_silence(view: int, views: int) -> None:
    """An `on_view` that tells nobody."""


def fill(
    folder: Path,
    header: CacheHeader,
    clips: ClipDataset,
    *,
    teachers: Teachers,
    device: str,
    workers: int = 0,
    on_view: OnView = in_silence,
) -> None:
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
    with _alone(folder / LOCK), _room(folder):
        kept = _claim(folder, header, probe_of(clips))
        teachers = Teachers(teachers.models, wanted=[stage_named(name) for name in kept.maps])
        shapes = shapes_of(teachers, clips, device=device)
        views = missing_views(folder, clips.views)
        _check_room(folder, len(views) * sum(bytes_of(shape) for shape in shapes.values()))
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
    target: Path,
    shapes: dict[str, Shape],
    clips: ClipDataset,
    view: int,
    *,
    teachers: Teachers,
    device: str,
    workers: int,
) -> None:
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
    own = {LOCK, PROBE, partial_name(folder / PROBE).name, partial_name(folder / HEADER).name}
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


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise MissingError(
            "no room for the teacher cache", where=folder, expected=f"{needed} bytes", got=f"{free} bytes free",
            hint="fewer distill.cache_views, or --cache on another disk",
        )  # fmt: skip


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """`MissingError` for a disk that fills up on the way."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        hint = "make room, then the same command to go on"
        raise MissingError("no space left for the teacher cache", where=folder, got=error, hint=hint) from error
