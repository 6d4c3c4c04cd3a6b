"""What the clips of a store are to look like, and how a source's points, or an older store's clips, become them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from last_edge.bundle import Bundle
from last_edge.bundle.zoo import find_bundle
from last_edge.clips import ClipStore, writing_store
from last_edge.clips.store import HEADER
from last_edge.errors import InputError, UsageError
from last_edge.files import check_free
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
        manifest = Bundle.open(find_bundle(path)).manifest
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


@dataclass(frozen=True)
class Converted:
    """What came of it. left_out: ids of clips that show nothing of use."""

    store: str
    layout: str
    units: str
    clips: int
    left_out: tuple[str, ...]
    sha256: str


def convert_store(source: Path, out: Path, *, bundle: Path, hand: str = "first", force: bool = False) -> Converted:
    """Write the clips of `source` to `out` with the joints, axes, size and units that a bundle takes.

    Raises `UsageError` where the joints cannot be converted or `out` is not free, `InputError` when nothing is left.
    """
    check_free(out, force=force, marker=HEADER)
    store, wanted = ClipStore.open(source), Wanted.of(bundle)
    target = Target(store.layout, store.units, wanted=wanted, hand=hand)
    left_out: list[str] = []
    about = {**store.about, "axes": AXES[wanted.units], "converted_from": store.sha256}
    layout, units = target.layout, target.units
    with writing_store(out, layout=layout, units=units, labels=store.labels, about=about, force=force) as writer:
        for number in range(len(store)):
            clip = store.clip(number)
            made = converted(clip, target)
            if made.confidence.any():
                writer.add(made)
            else:
                left_out.append(clip.source_id or str(number))
        if not len(writer):
            raise InputError("no clip shows anything that the bundle takes", where=source, got=f"{len(left_out)} clips")
    made_store = ClipStore.open(out)
    return Converted(str(out), layout.name, units, len(made_store), tuple(left_out), made_store.sha256)


def converted(clip: SkeletonClip, target: Target) -> SkeletonClip:
    """A clip in the target's layout and units; label, subject and the rest stay."""
    points = SkeletonClip.from_points(
        target.points(clip.coords), layout=target.layout, fps=clip.fps, units=target.units
    )
    return dataclasses.replace(
        clip, coords=points.coords, confidence=points.confidence, layout=target.layout, units=target.units
    )
