"""A `.tflite` member of a `.task` file as a function of an image, and detectors made of one."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError, MissingError
from last_edge.runtime.landmarks.source import quiet_native_logs

Image = NDArray[np.uint8]
Array = NDArray[np.floating[Any]]
INSTALL = "pip install 'last-edge[litert]'"
SCORE_LIMIT = 80.0
SUBPIXELS = 32
LEAST_SCORE = 0.5
"""From which a detection counts, as in MediaPipe's own tasks."""


@dataclass(frozen=True)
class Region:
    """A rectangle about (x, y), `width` by `height`, turned by `angle` radians (clockwise, as y points down)."""

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0

    def scaled(self, factor: float, *, shift_y: float = 0.0) -> Region:
        """The square over the longer side, `factor` times as large, moved by `shift_y` heights along its own y axis."""
        along = self.height * shift_y
        side = max(self.width, self.height) * factor
        x, y = self.x - along * math.sin(self.angle), self.y + along * math.cos(self.angle)
        return replace(self, x=x, y=y, width=side, height=side)

    def overlap(self, other: Region) -> float:
        """Intersection over union of the two as if neither were turned."""
        return float(overlaps(self.box[None], other.box)[0])

    @property
    def box(self) -> Array:
        """(4,) x and y of the least corner, then of the greatest, as if not turned."""
        half = np.array([self.width, self.height]) / 2
        centre = np.array([self.x, self.y])
        return np.concatenate([centre - half, centre + half]).astype(np.float32)

    @property
    def axes(self) -> Array:
        """(2, 2) turns the region's x and y into the image's: image = axes @ own."""
        sine, cosine = math.sin(self.angle), math.cos(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]], np.float32)

    def to_image(self, points: Array) -> Array:
        """(V, 3) of the region, 0..1 from its corner and z in widths -> pixels of the image, z too."""
        flat = ((points[:, :2] - 0.5) * [self.width, self.height]) @ self.axes.T + [self.x, self.y]
        return np.concatenate([flat, points[:, 2:3] * self.width], axis=1).astype(np.float32)


def overlaps(boxes: Array, box: Array) -> Array:
    """(N,) intersection over union of boxes (N, 4) and one (4,), corners as `Region.box`."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    common = np.clip(sides, 0, None).prod(1)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1) + np.clip(box[2:] - box[:2], 0, None).prod()
    return np.asarray(common / np.maximum(areas - common, 1e-9), np.float32)


def whole_image(image: Image) -> Region:
    """The smallest square about the image's middle that holds it: what a letter-boxed image is."""
    height, width = image.shape[:2]
    side = max(height, width)
    return Region(width / 2, height / 2, side, side)


def cut(image: Image, region: Region, size: int, *, replicate: bool = True) -> Image:
    """(size, size, 3) of the region; where it leaves the image the edge goes on with `replicate`, else it is black.

    Sampled at 32nds of a pixel with weights in fixed point, as `warpPerspective` of OpenCV 4 does, and so MediaPipe.
    That of OpenCV 5 samples finer, and the body's network moves its points by pixels for such a difference.
    """
    import cv2

    steps = np.arange(size) / size - 0.5
    (across_x, down_x), (across_y, down_y) = region.axes * [region.width, region.height] * SUBPIXELS
    columns = np.rint(steps * across_x + region.x * SUBPIXELS + (steps * down_x)[:, None]).astype(np.int32)
    rows = np.rint(steps * across_y + region.y * SUBPIXELS + (steps * down_y)[:, None]).astype(np.int32)
    whole = np.stack([columns // SUBPIXELS, rows // SUBPIXELS], -1).clip(-(2**15), 2**15 - 1).astype(np.int16)
    parts = (rows % SUBPIXELS * SUBPIXELS + columns % SUBPIXELS).astype(np.uint16)
    border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
    return np.asarray(cv2.remap(image, whole, parts, cv2.INTER_LINEAR, borderMode=border))


def direction(start: Array, end: Array, *, up: float = math.pi / 2) -> float:
    """Angle by which a region is turned whose own direction `up` points from `start` to `end`, in -pi..pi."""
    return turned(up - math.atan2(-(end[1] - start[1]), end[0] - start[0]))


def turned(angle: float) -> float:
    """The same angle within -pi..pi."""
    return angle - 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))


def around(points: Array, angle: float) -> Region:
    """The smallest region turned by `angle` that holds points (V, 2)."""
    middle = (points.max(0) + points.min(0)) / 2
    axes = Region(0, 0, 0, 0, angle).axes
    own = (points - middle) @ axes
    low, high = own.min(0), own.max(0)
    x, y = axes @ ((low + high) / 2) + middle
    width, height = high - low
    return Region(float(x), float(y), float(width), float(height), angle)


def anchors(size: int, strides: Sequence[int]) -> Array:
    """(A, 2) centres, 0..1, of a single-shot detector's cells: two for each stride, layers of one stride together."""
    made = []
    for stride in dict.fromkeys(strides):
        cells = math.ceil(size / stride)
        rows, columns = np.mgrid[0:cells, 0:cells]
        centres = (np.stack([columns, rows], -1).reshape(-1, 2) + 0.5) / cells
        made.append(np.repeat(centres, 2 * list(strides).count(stride), axis=0))
    return np.concatenate(made).astype(np.float32)


class Network:
    """One interpreter with XNNPACK: an RGB image (H, W, 3) of the model's size -> its outputs in order of their names.

    low: what black is at the input, white is 1.
    """

    def __init__(self, task: Path, member: str, *, low: float = 0.0, threads: int = 1) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingError("LiteRT is not installed", got=error, hint=INSTALL) from error
        try:
            with zipfile.ZipFile(task) as archive:
                content = archive.read(member)
            with quiet_native_logs():
                self._interpreter: Any = Interpreter(model_content=content, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (KeyError, zipfile.BadZipFile, ValueError, RuntimeError) as error:
            fault = "not a landmark model that LiteRT can load"
            raise InputError(fault, where=task, expected=member, got=error) from error
        (source,) = self._interpreter.get_input_details()
        self._source, self.size = source["index"], int(source["shape"][1])
        outputs = sorted(self._interpreter.get_output_details(), key=lambda output: str(output["name"]))
        self._outputs = [output["index"] for output in outputs]
        self._low = np.float32(low)
        self._step = np.float32((1.0 - low) / 255.0)

    def __call__(self, image: Image) -> list[Array]:
        self._interpreter.set_tensor(self._source, image[None] * self._step + self._low)
        self._interpreter.invoke()
        return [np.asarray(self._interpreter.get_tensor(index)[0], np.float32) for index in self._outputs]


@dataclass(frozen=True)
class Detection:
    """box: (4,) corners in pixels, see `Region.box`. points: (K, 2) key points in pixels. score: 0..1."""

    box: Array
    points: Array
    score: float

    def region(self, angle: float) -> Region:
        """The box, turned."""
        x, y = (self.box[:2] + self.box[2:]) / 2
        width, height = self.box[2:] - self.box[:2]
        return Region(float(x), float(y), float(width), float(height), angle)


class Detector:
    """A single-shot detector: finds objects in a whole image, the surest first.

    same: intersection over union above which two detections are of one object.
    """

    def __init__(self, network: Network, *, strides: tuple[int, ...], same: float) -> None:
        self.network, self.same = network, same
        self._anchors = anchors(network.size, strides)

    def __call__(self, image: Image) -> list[Detection]:
        """Detections in an RGB image (H, W, 3)."""
        seen = whole_image(image)
        values, logits = self.network(cut(image, seen, self.network.size, replicate=False))
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0], -SCORE_LIMIT, SCORE_LIMIT)))
        chosen = np.flatnonzero(scores >= LEAST_SCORE)
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
        values, scores, centres = values[chosen] / self.network.size, scores[chosen], self._anchors[chosen]
        middle, half = values[:, :2] + centres, values[:, 2:4] / 2
        points = values[:, 4:].reshape(len(values), values[:, 4:].shape[1] // 2, 2) + centres[:, None]
        corner = np.array([seen.x - seen.width / 2, seen.y - seen.height / 2], np.float32)
        boxes = np.concatenate([middle - half, middle + half], 1) * seen.width + np.tile(corner, 2)
        return _merged(boxes, points * seen.width + corner, scores, same=self.same)


def _merged(boxes: Array, points: Array, scores: Array, *, same: float) -> list[Detection]:
    """Detections of one object as their mean weighted by score, the score that of the surest (sorted by it)."""
    found, left = [], np.arange(len(scores))
    while len(left):
        alike = overlaps(boxes[left], boxes[left[0]]) > same
        alike[0] = True
        group, weight = left[alike], scores[left[alike]] / scores[left[alike]].sum()
        box, keys = weight @ boxes[group], np.tensordot(weight, points[group], 1)
        found.append(Detection(box, keys, float(scores[left[0]])))
        left = left[~alike]
    return found
