"""Turned rectangles of an image: cutting one out for a network, and bringing its answers back into the image.

The geometry is that of MediaPipe's calculators (rect transformation, image to tensor, landmark projection), in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Array = NDArray[np.floating[Any]]


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
    """(size, size, 3) of the region; where it leaves the image the edge goes on with `replicate`, else it is black."""
    import cv2

    half = np.array([[-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5], [0.5, 0.5]]) * [region.width, region.height]
    corners = (half @ region.axes.T + [region.x, region.y]).astype(np.float32)
    targets = np.array([[0, size], [0, 0], [size, 0], [size, size]], np.float32)
    border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
    matrix = cv2.getPerspectiveTransform(corners, targets)
    return np.asarray(cv2.warpPerspective(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border))


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
