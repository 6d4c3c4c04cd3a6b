"""The background set: clips in which nobody makes a gesture, to teach and to measure silence with.

It is made here, by synthetic bodies (`last_edge.data.synth.background`), so it is free of anybody's rights and takes no
room: equal arguments give equal clips, bit by bit. Of a hand alone there are also moves drawn about those of people who
sign words (`last_edge.data.synth.moves`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from last_edge.clips.compose import ComposeOptions, between, compose
from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.data.synth import moves
from last_edge.data.synth.background import FPS, KINDS, LAYOUT, Recording, record
from last_edge.errors import UsageError
from last_edge.inputs.spec import Points
from last_edge.names import is_background
from last_edge.skeleton import Layout, SkeletonClip, get_layout
from last_edge.skeleton.clip import Units
from last_edge.skeleton.convert import conversions, convert_clip
from last_edge.skeleton.layout import limb_length

LABEL = "background"
USUAL = 210
MADE = 0.5
"""Share of made motions among what lies between gestures."""
TEST_SEED = 1_000_003
HALF_TURN = np.array([-1.0, -1.0, 1.0], np.float32)
HAND_METRES = 0.10
"""Wrist to middle knuckle of an adult, of which a hand seen by a camera is given the size."""


def background_layouts() -> tuple[str, ...]:
    """Names of the layouts that the set comes in."""
    return tuple(sorted({LAYOUT, *(target for source, target in conversions() if source == LAYOUT)}))


def background_clips(
    layout: Layout | str, *, units: Units = "image01", count: int = USUAL, seed: int = 0, channels: int = 3
) -> list[SkeletonClip]:
    """`count` clips (1, T, V, channels) of a layout, 30 frames a second, labelled `LABEL`, the kinds in turn.

    units: `image01` as MediaPipe gives points; `metres` as depth sensors do, every second clip as MediaPipe's points
    turned into those axes. A layout of one hand shows a right hand. Raises `UsageError` for a layout that a body with
    two hands cannot be converted to.
    """
    layout = get_layout(layout) if isinstance(layout, str) else layout
    if layout.name not in background_layouts():
        raise UsageError(
            f"no background set for {layout.name}", expected=", ".join(background_layouts()),
            hint="clips of your own, labelled `background`, in the store",
        )  # fmt: skip
    return list(_clips(layout.name, units, count, seed, channels))


def signing_layouts() -> tuple[str, ...]:
    """Names of the layouts of one hand that `signing_clips` come in."""
    return tuple(sorted({moves.LAYOUT, *(target for source, target in conversions() if source == moves.LAYOUT)}))


def signing_clips(
    layout: Layout | str, *, units: Units = "image01", count: int = USUAL, seed: int = 0, channels: int = 3
) -> list[SkeletonClip]:
    """`count` clips (1, T, V, channels) of a right hand that signs words, drawn at random about what is typical of
    seven people's; as those of `background_clips` otherwise.

    Raises `UsageError` for a layout that a hand cannot be converted to.
    """
    layout = get_layout(layout) if isinstance(layout, str) else layout
    if layout.name not in signing_layouts():
        raise UsageError(f"no signing hands for {layout.name}", expected=", ".join(signing_layouts()))
    typical, whole = moves.signing(), get_layout(moves.LAYOUT)
    clips = []
    for number in range(count):
        hand = SkeletonClip.from_points(
            typical.draw(number, seed=seed)[None], layout=whole, fps=FPS, units=units, label=LABEL,
            subject=f"signing_{number:04d}", source_id=f"background/signing/{number:04d}", split="train",
        )  # fmt: skip
        clips.append(_in_units(convert_clip(hand, layout), units, channels))
    return clips


def add_background(
    store: ClipStore, out: Path, *, count: int = USUAL, between: int = 0, signing: int = 0, seed: int = 0,
    force: bool = False,
) -> ClipStore:  # fmt: skip
    """Write a store's clips and `count` of the background set to `out`, as one class more, `LABEL`.

    Of a store with a test split the same share of them, by other people, tests. between: so many stretches more of what
    lies between the training clips of one person, see `between_clips`. signing: so many training clips more of hands
    that sign, see `signing_clips`. Raises as these do, and `UsageError` where the store has such a class already.
    """
    if silent := [label for label in store.labels if is_background(label)]:
        raise UsageError("the store has clips of nothing already", where=store.path, got=", ".join(silent))
    share = float(np.mean(store.index.split == "test"))
    how: dict[str, Any] = {"units": store.units, "channels": int(store.frames.shape[-1])}
    tested = round(share * count)
    learnt = background_clips(store.layout, count=count - tested, seed=seed, **how)
    judged = [replace(clip, split="test", source_id=f"{clip.source_id}/test", subject=f"{clip.subject}_test")
              for clip in background_clips(store.layout, count=tested, seed=seed + TEST_SEED, **how)]  # fmt: skip
    signed = signing_clips(store.layout, count=signing, seed=seed, **how) if signing else []
    bodies = int(store.frames.shape[1])
    about = {**store.about, "background": {"clips": count, "signing": signing, "seed": seed}}
    labels = (*store.labels, LABEL)
    with writing_store(out, layout=store.layout, units=store.units, labels=labels, about=about, force=force) as writer:
        for number in range(len(store)):
            writer.add(store.clip(number))
        for clip in (*learnt, *judged, *between_clips(store, count=between, seed=seed), *signed):
            writer.add(clip.with_bodies(bodies))
    return ClipStore.open(out)


def between_clips(store: ClipStore, *, count: int, seed: int = 0) -> list[SkeletonClip]:
    """`count` stretches between gestures, composed of each training person's clips (`last_edge.clips.compose`): at
    rest, on the way from where one gesture ended to where the next begins, and motions that no class makes.
    """
    clips = store.select(split="train")
    clips = clips[store.index.label[clips] >= 0]
    if not count or not len(clips):
        return []
    streams = compose(store, clips, seed=seed, options=ComposeOptions(made=MADE))
    parts = [(stream, part) for stream in streams for part in between(stream)]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(parts))[:count])
    return [
        SkeletonClip.from_points(
            parts[place][1], layout=store.layout, fps=store.fps, units=store.units, label=LABEL,
            subject=parts[place][0].subject, source_id=f"between/{seed}/{place:05d}", split="train",
        )
        for place in chosen.tolist()
    ]  # fmt: skip


@lru_cache(maxsize=8)
def _clips(name: str, units: Units, count: int, seed: int, channels: int) -> tuple[SkeletonClip, ...]:
    layout, kinds, number = get_layout(name), list(KINDS), 0
    clips: list[SkeletonClip] = []
    while len(clips) < count:
        kind, take = kinds[number % len(kinds)], number // len(kinds)
        clip = _converted(record(kind, take, seed=seed, right_handed=layout.one_hand), layout, units, take, channels)
        number += 1
        if not np.isnan(clip.coords).all(axis=(0, 2, 3)).all():  # a hand that was never seen shows nothing
            clips.append(clip)
    return tuple(clips)


def _converted(taken: Recording, layout: Layout, units: Units, take: int, channels: int) -> SkeletonClip:
    sensed = units == "metres" and take % 2 == 0
    points = np.asarray(taken.metres if sensed else taken.image, np.float32)[None]
    whole = SkeletonClip.from_points(
        points, confidence=np.asarray(taken.confidence, np.float32)[None], layout=get_layout(LAYOUT), fps=FPS,
        units=units, label=LABEL, subject=taken.subject, source_id=f"background/{taken.kind}/{take:04d}", split="train",
    )  # fmt: skip
    return _in_units(convert_clip(whole, layout), "image01" if sensed else units, channels)


def _in_units(clip: SkeletonClip, units: Units, channels: int) -> SkeletonClip:
    """A clip of a picture's points as those of other units, in fewer coordinates where there are fewer."""
    coords = clip.coords if units == "image01" else _turned(clip.coords, clip.layout)
    return replace(clip, coords=coords[..., :channels])


def _turned(points: Points, layout: Layout) -> Points:
    """Points of a picture in a depth sensor's axes, at the size of an adult's hand where the layout is of one."""
    turned = points * HALF_TURN
    if not layout.one_hand:
        return turned
    length = float(np.nan_to_num(limb_length(turned[0], layout), nan=1.0)) or 1.0
    return np.asarray(turned * np.float32(HAND_METRES / length), np.float32)
