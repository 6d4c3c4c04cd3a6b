"""Frozen teachers, and their answers on disk: to some augmentations of every training clip, read by many students.

A teacher answers the very points a student sees, through its own input.

A cache is a folder: `cache.json` says what decides the answers, `probe.npy` holds the points of a few clips as they
were drawn, and `view-0000`, `view-0001`, … hold the answers to one augmentation of each clip.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from last_edge import records
from last_edge.arrays import map_npy
from last_edge.errors import InputError
from last_edge.inputs.spec import Points
from last_edge.models.front import fit_window
from last_edge.models.landmark_model import LandmarkModel

HEADER = "cache.json"
PROBE = "probe.npy"
LOGITS = "logits.npy"
STALE = "another --cache folder, or remove this one and run the same command"
PROBED_CLIPS = 4
SAME_POINTS = {"rtol": 1e-4, "atol": 1e-4, "equal_nan": True}
Array = NDArray[np.float32]
Shape = tuple[int, ...]


@dataclass(frozen=True, order=True)
class StageOf:
    """A stage of a teacher, both counted from 0."""

    teacher: int
    stage: int


@dataclass(frozen=True)
class Answers:
    """logits: (N, E, K) of E teachers. maps: (N, C, T, V) of those of their stages that were asked for."""

    logits: Tensor
    maps: dict[StageOf, Tensor]


class Source(Protocol):
    """Where the teachers' answers come from: the teachers themselves, or what they said before.

    points: as the student gets them. clips, view: which clips (N,) and which of their augmentations these are.
    """

    def __call__(self, points: Tensor, clips: Tensor, view: int) -> Answers: ...


class Teachers:
    """One model or several, in eval mode, without gradient or stream noise.

    Each reads the points through its own front: other streams, centring and scaling are its own affair, another window
    is stretched from the student's, and of the student's bodies it takes the first ones it knows.
    """

    def __init__(self, models: Sequence[LandmarkModel], *, wanted: Sequence[StageOf] = ()) -> None:
        self.models = [model.eval().requires_grad_(False) for model in models]
        self.wanted = tuple(wanted)

    @torch.no_grad()
    def __call__(self, points: Tensor, clips: Tensor, view: int) -> Answers:
        """See `Source`."""
        logits: list[Tensor] = []
        maps: dict[StageOf, Tensor] = {}
        for number, model in enumerate(self.models):
            stages = [key.stage for key in self.wanted if key.teacher == number]
            streams = model.front(points_for(model, points))
            features, answer = model.features_and_logits(streams) if stages else ([], model.from_streams(streams))
            maps |= {StageOf(number, stage): features[stage] for stage in stages}
            logits.append(answer.float())
        return Answers(torch.stack(logits, dim=1), maps)


def points_for(model: LandmarkModel, points: Tensor) -> Tensor:
    """A student's points (N, [M,] T, V, C) as `model` takes them: its number of bodies and of frames."""
    bodies = points if points.dim() == 5 else points[:, None]
    bodies = bodies[:, : model.spec.bodies]
    if bodies.shape[2] != model.spec.frames:
        bodies = fit_window(bodies, model.spec.frames)
    return bodies if model.spec.bodies > 1 else bodies[:, 0]


@dataclass(frozen=True)
class CacheHeader:
    """What decides a cached answer.

    teachers: sha256 of weights, model and input of each. points: shape of a clip as the student gets it. augment, seed:
    how its views are drawn. maps: the stages whose feature maps are kept, as `teacher.stage`, both counted from 1.
    tau: temperature at which several teachers were merged into one, 0 where each has its own answers.
    """

    store_sha256: str
    teachers: tuple[str, ...]
    points: tuple[int, ...]
    augment: dict[str, float]
    seed: int
    maps: tuple[str, ...] = ()
    tau: float = 0.0
    schema_version: int = 1


def name_of(stage: StageOf) -> str:
    """A teacher's stage as the header names it."""
    return f"{stage.teacher + 1}.{stage.stage + 1}"


def stage_named(name: str) -> StageOf:
    """The inverse of `name_of`."""
    teacher, _, stage = name.partition(".")
    return StageOf(int(teacher) - 1, int(stage) - 1)


def view_folder(folder: Path, view: int) -> Path:
    """Where a view's answers lie once they are whole."""
    return folder / f"view-{view:04d}"


def check_current(folder: Path, wanted: CacheHeader, probe: Points, *, hint: str = STALE) -> CacheHeader:
    """The cache's own header; `InputError` that names what differs, unless it answers the question `wanted` asks.

    probe: points of the first clips in view 0 as they are drawn today. Feature maps beyond those wanted do no harm.
    """
    found = records.load(CacheHeader, folder / HEADER)
    faults = [
        fault
        for name in ("store_sha256", "teachers", "points", "augment", "seed")
        for fault in _differ(name, found, wanted)
    ]
    absent = sorted(set(wanted.maps) - set(found.maps))
    faults += [("maps", f"{', '.join(wanted.maps)}", f"{', '.join(found.maps) or 'none'}")] if absent else []
    if not faults:
        drawn = load_array(folder / PROBE)
        if drawn.shape != probe.shape or not np.allclose(drawn, probe, **SAME_POINTS):  # type: ignore[arg-type]
            faults = [("points", "those that are drawn today", "others; the augmentation has changed since")]
    if faults:
        raise InputError(
            "the teacher cache is stale", where=folder,
            expected="; ".join(f"{name}: {expected}" for name, expected, _ in faults),
            got="; ".join(f"{name}: {got}" for name, _, got in faults),
            hint=hint,
        )  # fmt: skip
    return found


def _differ(name: str, found: CacheHeader, wanted: CacheHeader) -> list[tuple[str, str, str]]:
    """(name, expected, got) where a field differs; of a mapping, each key that does."""
    got, expected = getattr(found, name), getattr(wanted, name)
    if got == expected:
        return []
    if isinstance(expected, dict):
        keys = sorted(key for key in {*got, *expected} if got.get(key) != expected.get(key))
        return [(f"{name}.{key}", str(expected.get(key)), str(got.get(key))) for key in keys]
    return [(name, _short(expected), _short(got))]


def _short(value: Any) -> str:
    """A value, of hashes their first twelve digits."""
    values = value if isinstance(value, tuple) else (value,)
    return ", ".join(part[:12] if isinstance(part, str) else str(part) for part in values)


def load_array(path: Path) -> Array:
    """A memory-mapped float32 array; `InputError` when it is absent or damaged."""
    hint = "remove this folder; the same command computes it anew"
    return map_npy(path, np.float32, of="teacher cache", hint=hint)


class TeacherCache:
    """The answers of a whole cache, a `last_edge.distill.cache.Source` that asks no teacher.

    clips: the ids that have rows, in order. wanted: stages whose maps to give.
    """

    def __init__(self, folder: Path, *, clips: NDArray[np.int64], views: int, wanted: tuple[StageOf, ...] = ()) -> None:
        self.folder, self.clips, self.wanted = folder, clips, wanted
        self.logits = [self._array(view, LOGITS) for view in range(views)]
        self.maps = [
            {stage: self._array(view, f"map-{name_of(stage)}.npy") for stage in wanted} for view in range(views)
        ]

    def _array(self, view: int, name: str) -> Array:
        path = view_folder(self.folder, view) / name
        array = load_array(path)
        if len(array) != len(self.clips):
            hint = "remove this folder; the same command computes it anew"
            expected = f"{len(self.clips)} clips"
            raise InputError(
                "teacher cache: rows are missing", where=path, expected=expected, got=len(array), hint=hint
            )
        return array

    def __call__(self, points: Tensor, clips: Tensor, view: int) -> Answers:
        ids = clips.numpy()
        rows = np.searchsorted(self.clips, ids)
        if not np.array_equal(self.clips.take(rows, mode="clip"), ids):
            raise InputError("teacher cache: not a training clip of the store", where=self.folder, got=ids.tolist())
        return Answers(
            _to(self.logits[view][rows], points.device),
            {stage: _to(array[rows], points.device) for stage, array in self.maps[view].items()},
        )


def _to(rows: Array, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows)).to(device, non_blocking=True)


class RowFiles:
    """float32 arrays `NAME.npy` in a folder, by name their final shape, that grow by rows; a context manager.

    Opened again after a kill, all of them are cut back to the whole batches that every one has: `done` rows.
    """

    def __init__(self, folder: Path, shapes: dict[str, Shape], *, batch: int) -> None:
        self._streams: dict[str, IO[bytes]] = {name: (folder / f"{name}.npy").open("a+b") for name in shapes}
        self.done = min(_whole_rows(self._streams[name], shape) for name, shape in shapes.items()) // batch * batch
        for name, shape in shapes.items():
            self._streams[name].truncate(len(_head(shape)) + self.done * bytes_of(shape[1:]) if self.done else 0)
            self._streams[name].write(b"" if self.done else _head(shape))

    def __enter__(self) -> RowFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams.values():
            stream.close()

    def append(self, rows: dict[str, NDArray[Any]]) -> None:
        """Add the same number of rows to every array."""
        for name, stream in self._streams.items():
            stream.write(np.ascontiguousarray(rows[name], "<f4").tobytes())
        self.done += len(next(iter(rows.values())))

    def sync(self) -> None:
        """Force what was added to disk."""
        for stream in self._streams.values():
            stream.flush()
            os.fsync(stream.fileno())


def bytes_of(shape: Shape) -> int:
    """Bytes of a float32 array."""
    return 4 * math.prod(shape)


def _head(shape: Shape) -> bytes:
    """How a `.npy` file of that shape begins."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _whole_rows(stream: IO[bytes], shape: Shape) -> int:
    """Rows of a file that were written whole; 0 in a new one, or one of another shape."""
    head = _head(shape)
    stream.seek(0)
    if stream.read(len(head)) != head:
        return 0
    return min((stream.seek(0, os.SEEK_END) - len(head)) // bytes_of(shape[1:]), shape[0])
