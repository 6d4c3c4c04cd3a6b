"""Clips of a store as a bundle takes them, by the same steps as a recording for it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from last_edge.clips import ClipStore, writing_store
from last_edge.clips.store import HEADER
from last_edge.errors import InputError
from last_edge.files import check_free
from last_edge.runtime.record.target import AXES, Target, Wanted
from last_edge.skeleton import SkeletonClip


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
