"""What the clips of a store are to look like, and how a source's points, or an older store's clips, become them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from last_edge.bundle import Bundle
from last_edge.bundle.zoo import find_bundle
from last_edge.clips import ClipStore, writing_store
from last_edge.clips.store import HEADER
from last_edge.errors import InputError, UsageError
from last_edge.files import check_free
from last_edge.inputs import InputSpec
from last_edge.names import mirrored_order
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
    """What a bundle takes: the specification of its input, the units of its points, hands and labels it was taught."""

    spec: InputSpec
    units: Units
    hands: str = "both"
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: Path) -> Wanted:
        """What the bundle at `path` takes; `InputError` when it is damaged."""
        manifest = Bundle.open(find_bundle(path)).manifest
        if manifest.units not in AXES:
            raise InputError("bundle in unknown units", where=path, expected=" or ".join(AXES), got=manifest.units)
        return cls(manifest.input, cast(Units, manifest.units), manifest.known_hands, manifest.labels)

    @classmethod
    def of_layout(cls, layout: Layout, units: Units) -> Wanted:
        """Points of a layout in some units; of one hand right ones."""
        return cls(InputSpec(layout, frames=1), units, "right" if layout.one_hand else "both")


class Target:
    """Points of `source` layout and units become what `wanted` says, or stay as they are where it is None.

    Raises `UsageError` where the joints cannot be converted.
    """

    def __init__(self, source: Layout, units: Units, *, wanted: Wanted | None, hand: str) -> None:
        self.layout, self.units = source, units
        self._adapter: Adapter | None = None
        if wanted is not None:
            self.layout, self.units = wanted.spec.layout, wanted.units
            self._adapter = Adapter(
                source, units, spec=wanted.spec, target_units=wanted.units, hand=hand, knows=wanted.hands
            )
        same = self._adapter is None or source.names == self.layout.names
        self._watched = list(source.hands) if same else None
        self._labels = () if wanted is None else wanted.labels

    def sees(self, points: Points) -> bool:
        """Whether (M, V, C) source points of one frame show a hand, or anything kept where clips have none."""
        if self._watched is None:
            assert self._adapter is not None
            return self._adapter.sees(points)
        return shows_any(points[:, self._watched])

    def points(self, points: Points, *, seen: str = "") -> tuple[Points, bool]:
        """(M, T, V, C) of the source -> (M', T, V', C') of the store, and whether mirrored; see `Adapter.fit`."""
        return self._adapter.fit(points, seen=seen) if self._adapter else (points, False)

    def clip(self, take: Take, *, seen: str, label: str, others: Iterable[str], **about: Any) -> SkeletonClip:
        """A take of the hand `seen` as a clip, even in time; a mirrored one has the label of the other direction."""
        made, mirrored = self.points(take.evenly(), seen=seen)
        label = self.label(label, others) if mirrored else label
        return SkeletonClip.from_points(made, layout=self.layout, fps=take.fps, units=self.units, label=label, **about)

    def label(self, label: str, others: Iterable[str]) -> str:
        """What a mirrored clip shows, of the bundle's labels and `others`: `swipe left` for `swipe right`."""
        known = list(dict.fromkeys([*self._labels, *others, label]))
        return known[mirrored_order(known)[known.index(label)]]


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


def convert_store(
    source: Path, out: Path, *, wanted: Wanted, hand: str = "first", force: bool = False
) -> Converted:  # fmt: skip
    """Write the clips of `source` to `out` with the joints, axes, size and units that are wanted.

    Raises `UsageError` where the joints cannot be converted or `out` is not free, `InputError` when nothing is left.
    """
    check_free(out, force=force, marker=HEADER)
    store = ClipStore.open(source)
    target = Target(store.layout, store.units, wanted=wanted, hand=hand)
    left_out: list[str] = []
    about = {**store.about, "axes": AXES[wanted.units], "converted_from": store.sha256}
    layout, units = target.layout, target.units
    with writing_store(out, layout=layout, units=units, labels=store.labels, about=about, force=force) as writer:
        for number in range(len(store)):
            clip = store.clip(number)
            made = converted(clip, target, labels=store.labels)
            if made.confidence.any():
                writer.add(made)
            else:
                left_out.append(clip.source_id or str(number))
        if not len(writer):
            raise InputError("no clip shows anything of what is wanted", where=source, got=f"{len(left_out)} clips")
    made_store = ClipStore.open(out)
    return Converted(str(out), layout.name, units, len(made_store), tuple(left_out), made_store.sha256)


def converted(clip: SkeletonClip, target: Target, *, labels: Iterable[str] = ()) -> SkeletonClip:
    """A clip in the target's layout and units; subject and the rest stay, the label unless it is mirrored."""
    made, mirrored = target.points(clip.coords)
    points = SkeletonClip.from_points(made, layout=target.layout, fps=clip.fps, units=target.units)
    label = target.label(clip.label, labels) if mirrored and clip.label else clip.label
    return dataclasses.replace(
        clip, coords=points.coords, confidence=points.confidence, layout=target.layout, units=target.units, label=label
    )
