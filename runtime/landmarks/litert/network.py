"""A `.tflite` member of a `.task` file as a function of an image, and detectors made of one."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from last_edge.errors import InputError, MissingError
from last_edge.runtime.landmarks.litert.region import Array, Image, Region, anchors, cut, overlaps, whole_image
from last_edge.runtime.landmarks.source import quiet_native_logs

INSTALL = "pip install 'last-edge[litert]'"
SCORE_LIMIT = 80.0
SAME_OBJECT = 0.3


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
    """A single-shot detector: finds objects in a whole image, the surest first."""

    def __init__(self, network: Network, *, strides: tuple[int, ...], least_score: float = 0.5) -> None:
        self.network, self.least_score = network, least_score
        self._anchors = anchors(network.size, strides)

    def __call__(self, image: Image) -> list[Detection]:
        """Detections in an RGB image (H, W, 3)."""
        seen = whole_image(image)
        values, logits = self.network(cut(image, seen, self.network.size, replicate=False))
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0], -SCORE_LIMIT, SCORE_LIMIT)))
        chosen = np.flatnonzero(scores >= self.least_score)
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
        values, scores, centres = values[chosen] / self.network.size, scores[chosen], self._anchors[chosen]
        middle, half = values[:, :2] + centres, values[:, 2:4] / 2
        points = values[:, 4:].reshape(len(values), values[:, 4:].shape[1] // 2, 2) + centres[:, None]
        corner = np.array([seen.x - seen.width / 2, seen.y - seen.height / 2], np.float32)
        boxes = np.concatenate([middle - half, middle + half], 1) * seen.width + np.tile(corner, 2)
        return _merged(boxes, points * seen.width + corner, scores)


def _merged(boxes: Array, points: Array, scores: Array) -> list[Detection]:
    """Detections of one object as their mean weighted by score, the score that of the surest (sorted by it)."""
    found, left = [], np.arange(len(scores))
    while len(left):
        same = overlaps(boxes[left], boxes[left[0]]) > SAME_OBJECT
        same[0] = True
        group, weight = left[same], scores[left[same]] / scores[left[same]].sum()
        box, keys = weight @ boxes[group], np.tensordot(weight, points[group], 1)
        found.append(Detection(box, keys, float(scores[left[0]])))
        left = left[~same]
    return found
