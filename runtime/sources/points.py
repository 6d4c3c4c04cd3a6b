"""Sources of points, no images: a `.pose` replay, the clips of a store, a bundle's samples, a generated motion."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle import Bundle
from last_edge.bundle.samples import SAMPLES, Samples
from last_edge.clips import ClipStore
from last_edge.clips.pose_file import picture_middle, read_pose
from last_edge.errors import InputError
from last_edge.runtime.sources.base import Frame, Source
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units

BONE, CENTRE = 0.06, (0.5, 0.6, 0.0)
HIDDEN_EVERY, HIDDEN_FOR = 90, 12


class PoseFileSource(Source):
    """Every person of the file as a body, in `image01`; `InputError` when the file is unreadable or of other points."""

    def __init__(self, path: Path) -> None:
        self._clip = read_pose(path)
        self.name, self.fps = path.name, self._clip.fps
        self.layout, self.units = self._clip.layout, self._clip.units
        self.announced_frames, self.middle = self._clip.frames, picture_middle(path)

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._clip.frames):
            yield Frame(index, index / self.fps, points=self._clip.coords[:, index], clip=self.name)


class StoreSource(Source):
    """`FOLDER` plays every clip, `FOLDER#7` the clip of that number; time runs on, one second between two clips."""

    pause_s = 1.0

    def __init__(self, text: str) -> None:
        folder, _, number = text.partition("#")
        self._store = ClipStore.open(Path(folder))
        self._clips, self.tracked = self._chosen(number), True
        self.name, self.layout, self.units = f"store:{text}", self._store.layout, self._store.units
        self.fps = float(self._store.index.fps[self._clips[0]]) or self._store.fps
        self.middle = 0.0 if self.units == "metres" else None
        self.announced_frames = int(self._store.index.length[self._clips].sum())

    def __iter__(self) -> Iterator[Frame]:
        index, began = 0, 0.0
        for number in self._clips:
            clip = self._store.clip(int(number))
            name = clip.source_id or str(number)
            for row in range(clip.frames):
                yield Frame(index, began + row / clip.fps, points=clip.coords[:, row], clip=name, label=clip.label)
                index += 1
            began += clip.frames / clip.fps + self.pause_s

    def _chosen(self, number: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        count = len(self._store)
        if not number:
            return np.arange(count, dtype=np.int64)
        if not number.isdecimal() or int(number) >= count:
            raise InputError("no such clip", where=self._store.path, expected=f"0 to {count - 1}", got=number)
        return np.array([int(number)], np.int64)


class SampleSource(Source):
    """The typical motions that a bundle has with it, each from rest to rest; `InputError` where it has none.

    Time runs on; before a motion its first frame stands for a second, behind it its last for two.
    """

    before_s, after_s = 1.0, 2.0

    def __init__(self, bundle: Path) -> None:
        opened = Bundle.open(bundle)
        if SAMPLES not in opened.contents:
            hint = "last-edge samples BUNDLE --store STORE, or --source synthetic"
            raise InputError("the bundle has no sample recordings", where=bundle, hint=hint)
        self._samples = Samples.from_bytes(opened.read(SAMPLES), where=bundle / SAMPLES)
        manifest = opened.manifest
        self.name, self.layout, self.fps = f"samples:{manifest.name}", manifest.input.layout, self._samples.fps
        self.units = cast(Units, manifest.units)
        self._still = round(self.before_s * self.fps), round(self.after_s * self.fps)
        self.announced_frames = len(self._samples.labels) * (sum(self._still) + self._samples.points.shape[2])

    def __iter__(self) -> Iterator[Frame]:
        index, (before, after) = 0, self._still
        for points, label in zip(self._samples.points, self._samples.labels, strict=True):
            for row in (*[0] * before, *range(points.shape[1]), *[points.shape[1] - 1] * after):
                yield Frame(index, index / self.fps, points=points[:, row], clip=label, label=label)
                index += 1


class SyntheticSource(Source):
    """`seconds` of a moving skeleton in `image01`, the same at every run.

    Every 90 frames the skeleton is hidden for 12, so that a run also meets frames without points.
    """

    def __init__(self, layout: Layout, *, seconds: float = 10.0) -> None:
        self.name, self.layout, self.fps = "synthetic", layout, 30.0
        self.announced_frames = round(seconds * self.fps)
        random = np.random.default_rng(0)
        self._angle = random.uniform(0, 2 * np.pi, layout.joints)
        self._swing = random.uniform(0.1, 0.6, layout.joints)
        self._pace = random.uniform(0.3, 1.5, layout.joints)
        self._order = _parents_first(layout.parents)

    def __iter__(self) -> Iterator[Frame]:
        assert self.announced_frames is not None
        for index in range(self.announced_frames):
            time_s = index / self.fps
            points = self._points(time_s)
            if index % HIDDEN_EVERY >= HIDDEN_EVERY - HIDDEN_FOR:
                points[:] = np.nan
            yield Frame(index, time_s, points=points[None], clip=self.name)

    def _points(self, time_s: float) -> NDArray[np.float32]:
        """(V, 3): each joint one bone from its parent, in a direction that swings."""
        assert self.layout is not None
        angle = self._angle + self._swing * np.sin(2 * np.pi * self._pace * time_s)
        bones = BONE * np.stack([np.cos(angle), np.sin(angle), 0.3 * np.sin(2 * angle)], axis=-1)
        points = np.zeros((self.layout.joints, 3))
        for joint in self._order:
            parent = self.layout.parents[joint]
            points[joint] = CENTRE if parent == joint else points[parent] + bones[joint]
        return points.astype(np.float32)


def _parents_first(parents: tuple[int, ...]) -> list[int]:
    """Joints in an order in which every parent stands before its children."""
    order: list[int] = []
    while len(order) < len(parents):
        order += [
            joint for joint, parent in enumerate(parents) if joint not in order and (parent == joint or parent in order)
        ]
    return order
