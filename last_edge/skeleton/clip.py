"""One recorded motion: points over time with their confidence and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError, LastEdgeError, UsageError
from last_edge.skeleton.layout import Layout

Units = Literal["image01", "metres"]
ABOUT = ("subject", "source_id", "split", "camera", "setup", "text")


class Annotation(NamedTuple):
    """What a recording shows from its frame `first` to its frame `last`, both inside, counted from 0."""

    label: str
    first: int
    last: int


@dataclass(frozen=True)
class SkeletonClip:
    """Points of one clip.

    coords: float32 (M bodies, T frames, V joints, C axes); NaN where a point is missing.
    confidence: float32 (M, T, V) in 0..1; 0 exactly where the point is missing.
    units: `image01` (0..1 of the image's *height* on both axes, y down) or `metres`.
    label: class name, None when unlabelled. split: the dataset's own split, "" when it has none.
    text: what is signed as a sentence of a spoken language, "" where nobody wrote it down.
    spans: of a long recording all that it shows, one after another; what lies between is background.
    """

    coords: NDArray[np.float32]
    confidence: NDArray[np.float32]
    layout: Layout
    fps: float
    units: Units
    label: str | None = None
    subject: str = ""
    source_id: str = ""
    split: str = ""
    camera: str = ""
    setup: str = ""
    text: str = ""
    spans: tuple[Annotation, ...] = ()

    def __post_init__(self) -> None:
        where = self.source_id or None
        if self.coords.ndim != 4 or self.coords.shape[1] == 0:
            raise InputError("a clip needs (M, T, V, C) points and one frame", where=where, got=self.coords.shape)
        if self.coords.shape[2] != self.layout.joints:
            expected = f"{self.layout.joints} joints of {self.layout.name}"
            raise InputError("wrong joint count", where=where, expected=expected, got=self.coords.shape[2])
        if self.confidence.shape != self.coords.shape[:3]:
            raise InputError("confidence does not fit the points", where=where, got=self.confidence.shape)
        check_rate(self.fps, kind=InputError, where=where)
        if np.isinf(self.coords).any():
            raise InputError("infinite points", where=where, expected="finite numbers, NaN where a point is missing")
        if not np.array_equal(np.isnan(self.coords).any(-1), self.confidence == 0):
            raise InputError("missing points must be NaN with confidence 0", where=where)
        if self.spans and self.label is not None:
            raise InputError("a recording with annotated spans has no label of its own", where=where, got=self.label)
        if fault := fault_of_spans([(span.first, span.last) for span in self.spans], self.frames):
            raise InputError(fault, where=where, got=self.spans[:5])

    @property
    def frames(self) -> int:
        """T, the number of frames."""
        return int(self.coords.shape[1])

    @property
    def about(self) -> dict[str, str]:
        """What is known of the recording beside its label."""
        return {name: getattr(self, name) for name in ABOUT}

    def with_bodies(self, bodies: int) -> SkeletonClip:
        """The clip with so many bodies, those it lacks absent."""
        absent = ((0, bodies - len(self.coords)), (0, 0), (0, 0), (0, 0))
        coords = np.pad(self.coords, absent, constant_values=np.nan)
        return replace(self, coords=coords, confidence=np.pad(self.confidence, absent[:3]))

    @classmethod
    def from_points(
        cls, points: NDArray[np.floating], *, layout: Layout, fps: float, units: Units,
        confidence: NDArray[np.floating] | None = None, **about: str | tuple[Annotation, ...] | None,
    ) -> SkeletonClip:  # fmt: skip
        """Build a clip from (M, T, V, C) points, NaN where missing; confidence defaults to 1 for present points.

        A point with one NaN axis or confidence 0 counts as missing on all axes.
        """
        coords = np.asarray(points, np.float32).copy()
        given = np.ones(coords.shape[:-1], np.float32) if confidence is None else np.asarray(confidence, np.float32)
        present = ~np.isnan(coords).any(-1) & (given > 0)
        coords[~present] = np.nan
        sure = np.where(present, given, 0).astype(np.float32)
        return cls(coords, sure, layout, float(fps), units, **about)  # type: ignore[arg-type]


def check_rate(fps: float, *, kind: type[LastEdgeError] = UsageError, where: object = None) -> None:
    """An error of a kind unless `fps` can be the frame rate of a clip."""
    if not 0 < fps < np.inf:
        raise kind("a clip needs a frame rate", where=where, expected="frames a second, above 0", got=fps)


def fault_of_spans(spans: Sequence[tuple[int, int]], frames: int) -> str:
    """What is wrong with first and last frames of a recording of so many frames; "" where nothing is."""
    if any(not 0 <= first <= last < frames for first, last in spans):
        return "an annotated span leaves its recording or ends before it begins"
    if any(one[1] >= other[0] for one, other in pairwise(spans)):
        return "annotated spans overlap or are not in the order of time"
    return ""
