"""What the clips of a store are to look like, and how a source's points become them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from last_edge.bundle import Bundle
from last_edge.errors import InputError, UsageError
from last_edge.inputs import InputSpec
from last_edge.runtime.recognise.adapt import Adapter
from last_edge.runtime.recognise.window import Points, shows_any
from last_edge.runtime.record.takes import Take
from last_edge.skeleton import Layout, SkeletonClip
from last_edge.skeleton.clip import Units

AXES = {
    "image01": "x right, y down, z away from the camera",
    "metres": "x to the person's right, y up, z away from the sensor",
}


@dataclass(frozen=True)
class Wanted:
    """What a bundle takes: the specification of its input and the units of its points."""

    spec: InputSpec
    units: Units

    @classmethod
    def of(cls, path: Path) -> Wanted:
        """What the bundle at `path` takes; `InputError` when it is damaged."""
        manifest = Bundle.open(path).manifest
        if manifest.units not in AXES:
            raise InputError("bundle in unknown units", where=path, expected=" or ".join(AXES), got=manifest.units)
        return cls(manifest.input, manifest.units)  # type: ignore[arg-type]


class Target:
    """Points of `source` layout and units become what `wanted` says, or stay as they are where it is None.

    Raises `UsageError` where the joints cannot be converted.
    """

    def __init__(self, source: Layout, units: Units, *, wanted: Wanted | None, hand: str) -> None:
        self.layout, self.units = source, units
        self._adapter: Adapter | None = None
        if wanted is not None:
            self.layout, self.units = wanted.spec.layout, wanted.units
            self._adapter = Adapter(source, units, spec=wanted.spec, target_units=wanted.units, hand=hand)

    def sees(self, points: Points) -> bool:
        """Whether (M, V, C) source points of one frame show anything that clips keep."""
        return self._adapter.sees(points) if self._adapter else shows_any(points)

    def points(self, points: Points) -> Points:
        """(M, T, V, C) of the source -> (M', T, V', C') of the store."""
        return self._adapter(points) if self._adapter else points

    def clip(self, take: Take, **about: Any) -> SkeletonClip:
        """A take as a clip, even in time."""
        made = self.points(take.evenly())
        return SkeletonClip.from_points(made, layout=self.layout, fps=take.fps, units=self.units, **about)


def check_same(store: Path, *, layout: Layout, units: str, target: Target) -> None:
    """`UsageError` when a store holds other points than would be added."""
    if (layout, units) != (target.layout, target.units):
        raise UsageError("the store holds other points", where=store, expected=f"{layout.name} in {units}",
                         got=f"{target.layout.name} in {target.units}",
                         hint="--bundle or --landmarks as it was recorded with, or another STORE")  # fmt: skip
