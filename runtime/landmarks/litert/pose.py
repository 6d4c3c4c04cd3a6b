"""A body by LiteRT: a person detector finds it, landmarks follow it, filters steady it as MediaPipe's do."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from last_edge.runtime.landmarks.litert.network import Array, Detector, Image, Network, Region, cut, direction

POINTS, ALL_POINTS = 33, 39
MOST_PEOPLE = 4
Look = tuple[Array, Array, Array]
Choose = Callable[[Sequence[Array]], int | None]
CENTRE, RIM = 33, 34
"""Two points beyond the body's own: the middle of the hips, and one on the circle about the whole person."""
STRIDES = (8, 16, 32, 32, 32)
MARGIN = 1.25
LEAST_PRESENCE, SAME_PERSON = 0.5, 0.5
KERNEL, SUREST = 7, 0.5
VISIBILITY_SHARE = 0.1


@dataclass(frozen=True)
class Pose:
    """points: (33, 3) pixels, z in pixels too, from the hips. visibility: (33,) 0..1.

    world: (33, 3) metres about the middle of the hips.
    """

    points: Array
    visibility: Array
    world: Array


class PoseTracker:
    """Follows one person through the frames of a video.

    choose: called with the points (33, 3) in pixels of everyone in view; which of them goes on, None for nobody. By
    default the one that the detector is surest of.
    """

    def __init__(self, task: Path, *, threads: int = 1, choose: Choose | None = None) -> None:
        people = Network(task, "pose_detector.tflite", low=-1.0, threads=threads)
        self._detector = Detector(people, strides=STRIDES, same=SAME_PERSON)
        self._landmarks = Network(task, "pose_landmarks_detector.tflite", threads=threads)
        self._choose = choose
        self._region: Region | None = None
        self._filters = _Filters()

    def __call__(self, image: Image, seconds: float) -> Pose | None:
        """The person in an RGB image (H, W, 3) at a time, None where nobody is seen."""
        region, found = self._region, None
        if region is not None:
            found = self._look(image, region)
            if found is not None and self._choose is not None and self._choose([found[0][:POINTS]]) is None:
                found = None
        if found is None and (self._region is None or self._choose is not None):
            self._filters = _Filters()
            region, found = self._find(image)
        if found is None or region is None:
            self._region, self._filters = None, _Filters()
            return None
        points, world, visible = found
        self._region = _about(points[CENTRE, :2], points[RIM, :2])
        steady = self._filters.points(points[:POINTS], seconds, self._region.width)
        visibility = self._filters.visibility(visible[:POINTS], VISIBILITY_SHARE)[:, 0]
        return Pose(steady, visibility, self._filters.world(world, seconds, 1.0))

    def _find(self, image: Image) -> tuple[Region | None, Look | None]:
        """The region of the one to follow and what is seen there."""
        regions = [_about(each.points[0], each.points[1]) for each in self._detector(image)]
        if self._choose is None:
            return (regions[0], self._look(image, regions[0])) if regions else (None, None)
        looks = [(region, self._look(image, region)) for region in regions[:MOST_PEOPLE]]
        shown = [(region, look) for region, look in looks if look is not None]
        chosen = self._choose([look[0][:POINTS] for _, look in shown])
        return (None, None) if chosen is None else shown[chosen]

    def _look(self, image: Image, region: Region) -> Look | None:
        """(39, 3) points in pixels, (33, 3) in metres and (39, 1) visibility of the person in a region."""
        values, presence, _, heatmap, world = self._landmarks(cut(image, region, self._landmarks.size))
        if float(presence.reshape(-1)[0]) <= LEAST_PRESENCE:
            return None
        rows = values.reshape(ALL_POINTS, 5)
        own = refined(rows[:, :3] / self._landmarks.size, heatmap)
        metres = world.reshape(ALL_POINTS, 3)[:POINTS].copy()
        metres[:, :2] = metres[:, :2] @ region.axes.T
        return region.to_image(own), metres, _sigmoid(rows[:, 3:4])


def _about(centre: Array, rim: Array) -> Region:
    """The region about a person: a circle's square with some margin, upright along centre to rim."""
    side = 2 * float(np.linalg.norm(rim - centre))
    return Region(float(centre[0]), float(centre[1]), side, side, direction(centre, rim)).scaled(MARGIN)


def refined(points: Array, heatmap: Array) -> Array:
    """Points (P, 3), x and y moved to the mean of their heat map (H, W, P) nearby, where it is sure of itself."""
    height, width, _ = heatmap.shape
    moved, reach = points.copy(), KERNEL // 2
    for index, (x, y) in enumerate(points[:, :2] * [width, height]):
        column, row = int(x), int(y)
        if not (0 <= column < width and 0 <= row < height):
            continue
        top, left = max(row - reach, 0), max(column - reach, 0)
        heat = _sigmoid(heatmap[top : row + reach + 1, left : column + reach + 1, index])
        if heat.max() >= SUREST:
            rows, columns = np.mgrid[top : top + heat.shape[0], left : left + heat.shape[1]]
            moved[index, :2] = (columns * heat).sum() / width, (rows * heat).sum() / height
            moved[index, :2] /= heat.sum()
    return moved


def _sigmoid(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-values)), np.float32)


class OneEuro:
    """The one-euro filter (Casiez et al. 2012): slow values are smoothed, fast ones followed; sizes are relative."""

    def __init__(self, *, least_cutoff: float, beta: float) -> None:
        self.least_cutoff, self.beta = least_cutoff, beta
        self._raw: Array | None = None
        self._value: Array = np.zeros(0, np.float32)
        self._speed: Array = np.zeros(0, np.float32)
        self._seconds = 0.0

    def __call__(self, values: Array, seconds: float, size: float) -> Array:
        """Filtered values of this moment; their speed counts in units of `size`."""
        if self._raw is None:
            self._value, self._speed = values, np.zeros_like(values)
        else:
            step = max(seconds - self._seconds, 1e-6)
            speed = (values - self._raw) / size / step
            self._speed = self._speed + _share(np.ones_like(speed), step) * (speed - self._speed)
            share = _share(self.least_cutoff + self.beta * np.abs(self._speed), step)
            self._value = self._value + share * (values - self._value)
        self._raw, self._seconds = values, seconds
        return self._value


def _share(cutoff: Array, step: float) -> Array:
    """How far a low-pass filter moves towards a new value."""
    return np.asarray(1 / (1 + 1 / (2 * math.pi * cutoff * step)), np.float32)


class LowPass:
    """Moves by a fixed share towards each new value."""

    def __init__(self) -> None:
        self._value: Array | None = None

    def __call__(self, values: Array, share: float) -> Array:
        """The filtered values."""
        self._value = values if self._value is None else self._value + share * (values - self._value)
        return self._value


class _Filters:
    """The filters of one person, new when it is found."""

    def __init__(self) -> None:
        self.points = OneEuro(least_cutoff=0.05, beta=80.0)
        self.world = OneEuro(least_cutoff=0.1, beta=40.0)
        self.visibility = LowPass()
