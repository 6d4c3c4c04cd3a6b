"""A store of clips and variants of them, made once and kept: `last-edge data augment-pool`.

A variant is how else the same sign could have been signed, seen and tracked. A clip is `packed` here:
(M, T, V, C + 1), its points and behind them their confidence, NaN and 0 where missing.
"""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore
from last_edge.data.augment import Random, hide_joints, stretch_bones, warped
from last_edge.data.prepare import Prepared, store_clips
from last_edge.errors import InputError, UsageError
from last_edge.inputs.spec import Points, sample_at
from last_edge.names import did_you_mean
from last_edge.skeleton import Layout, SkeletonClip
from last_edge.skeleton.layout import limb_length, mirror, rotation

Change = Callable[[Points, Layout, Random], Points]
HANDS = ("left_hand", "right_hand")
LARGEST_ANGLE = LARGEST_SHEAR = 0.12
LARGEST_VIEW = 0.15
NOISES = (0.01, 0.02, 0.03)
SHIFT, SIZE, SPEED, WARP, HIDDEN = (0.1, 0.3), (0.7, 1.5), (0.5, 1.8), (0.2, 0.5), (0.15, 0.35)
PROPORTION = 0.15
SPLIT_BY = ("keep", "source", "subject")
VARIANT = re.compile(r"#v\d+$")


def kinds_for(layout: Layout, axes: int, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The kinds of change that a layout and its axes allow, in the order of `KINDS`."""
    lacking = {"drop_hand"} if not set(HANDS) <= set(layout.parts) else set()
    lacking |= {"view"} if axes < 3 else set()
    return tuple(name for name in KINDS if name not in lacking and name not in without)


def make_variant(packed: Points, layout: Layout, number: int, kinds: tuple[str, ...], random: Random) -> Points:
    """Variant `number` of a clip: the kinds in turn; from the second round on a second kind is drawn to it."""
    names = [kinds[number % len(kinds)]]
    if number >= len(kinds) > 1:
        names.append(str(random.choice([name for name in kinds if name not in names])))
    for name in names:
        packed = KINDS[name](packed, layout, random)
    return np.asarray(packed, np.float32)


def _shear(packed: Points, layout: Layout, random: Random) -> Points:
    matrix = np.eye(packed.shape[-1] - 1)
    matrix[0, 1] = random.uniform(-LARGEST_SHEAR, LARGEST_SHEAR)
    return _turned(packed, layout, matrix)


def _turn(packed: Points, layout: Layout, random: Random) -> Points:
    """About the axis towards the camera."""
    angle = random.uniform(-LARGEST_ANGLE, LARGEST_ANGLE)
    return _turned(packed, layout, rotation(angle, (0, 1), axes=packed.shape[-1] - 1))


def _view(packed: Points, layout: Layout, random: Random) -> Points:
    """From a camera further to one side, above or below."""
    sideways, upwards = (rotation(random.uniform(-LARGEST_VIEW, LARGEST_VIEW), plane) for plane in ((0, 2), (1, 2)))
    return _turned(packed, layout, sideways @ upwards)


def _mirror(packed: Points, layout: Layout, random: Random) -> Points:
    """In a mirror: left hands become right hands, points and all."""
    return mirror(packed, layout)


def _noise(packed: Points, layout: Layout, random: Random) -> Points:
    shape = packed[..., :-1].shape
    return _moved(packed, random.normal(0, float(random.choice(NOISES)) * unit_of(packed, layout), shape))


def _shift(packed: Points, layout: Layout, random: Random) -> Points:
    axes = packed.shape[-1] - 1
    return _moved(packed, random.uniform(*SHIFT, axes) * random.choice([-1, 1], axes) * unit_of(packed, layout))


def _scale(packed: Points, layout: Layout, random: Random) -> Points:
    return _turned(packed, layout, np.eye(packed.shape[-1] - 1) * random.uniform(*SIZE))


def _speed(packed: Points, layout: Layout, random: Random) -> Points:
    frames = packed.shape[1]
    return sample_at(packed, np.linspace(0, frames - 1, max(2, round(frames / random.uniform(*SPEED)))))


def _warp(packed: Points, layout: Layout, random: Random) -> Points:
    """Fast first and slow then, or the other way round."""
    frames, bend = packed.shape[1], random.uniform(*WARP) * random.choice([-1, 1])
    return sample_at(packed, warped(frames, bend) * (frames - 1))


def _occlude(packed: Points, layout: Layout, random: Random) -> Points:
    return hide_joints(packed, random.uniform(*HIDDEN), layout, random)


def _drop_hand(packed: Points, layout: Layout, random: Random) -> Points:
    dropped = packed.copy()
    dropped[:, :, list(layout.parts[str(random.choice(HANDS))])] = np.nan
    return dropped


def _proportions(packed: Points, layout: Layout, random: Random) -> Points:
    """Of another signer: every bone longer or shorter, the same on both sides; what hangs from it moves along."""
    twins = np.minimum(np.arange(layout.joints), layout.mirror)
    change = random.uniform(-PROPORTION, PROPORTION, layout.joints)[twins]
    points = stretch_bones(packed[..., :-1], np.asarray(1 + change, np.float32), layout)
    return np.concatenate([points, packed[..., -1:]], axis=-1, dtype=np.float32)


KINDS: dict[str, Change] = {
    "shear": _shear, "turn": _turn, "mirror": _mirror, "noise": _noise, "shift": _shift, "scale": _scale,
    "speed": _speed, "occlude": _occlude, "drop_hand": _drop_hand, "warp": _warp, "proportions": _proportions,
    "view": _view,
}  # fmt: skip


def unit_of(packed: Points, layout: Layout) -> float:
    """Mean length of the scale limb of body 0 where it is seen; else, or where there is none, the clip's spread."""
    length = limb_length(packed[0, ..., :-1], layout)
    return length if length > 0 else float(np.nanstd(packed[..., :-1])) or 1.0


def _moved(packed: Points, step: NDArray[np.floating]) -> Points:
    return np.concatenate([packed[..., :-1] + step, packed[..., -1:]], axis=-1, dtype=np.float32)


def _turned(packed: Points, layout: Layout, matrix: NDArray[np.float64]) -> Points:
    """Points times a (C, C) matrix about the mean place of body 0's centre."""
    centre = packed[0, :, list(layout.centre), :-1].reshape(-1, packed.shape[-1] - 1)
    seen = centre[~np.isnan(centre).any(axis=1)]
    pivot = seen.mean(axis=0) if len(seen) else np.nanmean(packed[..., :-1], axis=(0, 1, 2))
    points = (packed[..., :-1] - pivot) @ matrix.T + pivot
    return np.concatenate([points, packed[..., -1:]], axis=-1, dtype=np.float32)


@dataclass(frozen=True)
class PoolOptions:
    """What goes into a pool.

    variants: most of one training clip; per_class: training clips that a class is filled up to, variants included.
    classes: only those with most clips, 0 for all. axes: of a point, the first ones; 0 keeps all.
    split_by: `keep` the store's own splits; or draw them by `source`, the recording, or by `subject`; shares: of train,
    val and test then. without: kinds of change that are not made.
    """

    variants: int = 60
    per_class: int = 200
    classes: int = 0
    axes: int = 0
    split_by: str = "keep"
    shares: tuple[float, float, float] = (0.7, 0.15, 0.15)
    seed: int = 0
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.split_by not in SPLIT_BY:
            raise UsageError("no such way to split", expected=", ".join(SPLIT_BY), got=self.split_by)
        if min(self.shares) < 0 or not self.shares[0] or abs(sum(self.shares) - 1) > 1e-6:
            raise UsageError("shares of train, val and test add up to 1", expected="0.7,0.15,0.15", got=self.shares)
        for kind in self.without:
            if kind not in KINDS:
                raise UsageError(f"no kind of variant {kind!r}", expected=did_you_mean(kind, KINDS))


def augment_pool(
    path: Path, *, out: Path, options: PoolOptions, dry_run: bool = False, force: bool = False,
    progress: Callable[[int], None] = lambda clips: None,
) -> Prepared:  # fmt: skip
    """Write a store's clips and variants of its training clips as a new store.

    A clip and its variants are one family and in one split: only training clips have variants, whoever drew the splits.
    Every variant depends on (seed, clip, number) alone. Raises `UsageError`, `InputError`.
    """
    store = ClipStore.open(path)
    axes = int(store.frames.shape[-1])
    if options.axes > axes:
        raise UsageError("the store has fewer axes", where=path, expected=f"1..{axes}", got=options.axes)
    kept = _clips_of_classes(store, options.classes)
    labels = tuple(store.labels[label] for label in sorted(set(store.index.label[kept].tolist())))
    about = {**store.about, "pool": dataclasses.asdict(options) | {"store_sha256": store.sha256}}
    about["pool"] = {key: list(value) if isinstance(value, tuple) else value for key, value in about["pool"].items()}
    return store_clips(
        _pool(store, kept, _splits(store, kept, options), options), name="pool", out=out, labels=labels, about=about,
        dry_run=dry_run, force=force, progress=progress,
    )  # fmt: skip


def family_of(source_id: str) -> str:
    """The recording behind a clip or a variant of it."""
    return VARIANT.sub("", source_id)


def _clips_of_classes(store: ClipStore, classes: int) -> NDArray[np.int64]:
    """Labelled clips, of the `classes` classes that have most of them; the first name wins a tie."""
    counts = Counter(label for label in store.index.label.tolist() if label >= 0)
    if classes > len(counts):
        raise UsageError("too few classes", where=store.path, expected=f"<= {len(counts)}", got=classes)
    ranked = sorted(counts, key=lambda label: (-counts[label], store.labels[label]))[: classes or None]
    return np.flatnonzero(np.isin(store.index.label, ranked))


def _splits(store: ClipStore, kept: NDArray[np.int64], options: PoolOptions) -> dict[int, str]:
    """Split of each clip: its own, or drawn for its family, all clips and variants of a recording or a person.

    Families are drawn within each class where they are recordings, among all where they are people.
    """
    if options.split_by == "keep":
        own = {int(clip): str(store.index.split[clip]) for clip in kept}
        if "train" not in own.values():
            hint = "--split-by source, or --split-by subject"
            raise InputError("the store has no training split to keep", where=store.path, hint=hint)
        return own
    by_subject = options.split_by == "subject"
    column = store.index.subject if by_subject else store.index.source_id
    family = {int(clip): family_of(str(column[clip])) for clip in kept}
    random = np.random.default_rng([options.seed, len(family)])
    groups: dict[int, dict[str, None]] = {}
    for clip, name in family.items():
        groups.setdefault(0 if by_subject else int(store.index.label[clip]), {})[name] = None
    drawn: dict[str, str] = {}
    for _, names in sorted(groups.items()):
        fresh = [name for name in names if name not in drawn]
        order = [fresh[place] for place in random.permutation(len(fresh))]
        val, test = (math.floor(share * len(order) + 0.5) for share in options.shares[1:])
        if val + test >= len(order):
            val = test = 0
        parts = [*["test"] * test, *["val"] * val, *["train"] * (len(order) - val - test)]
        drawn |= dict(zip(order, parts, strict=True))
    return {clip: drawn[name] for clip, name in family.items()}


def _pool(
    store: ClipStore, kept: NDArray[np.int64], splits: dict[int, str], options: PoolOptions
) -> Iterator[SkeletonClip]:
    """Every clip, each training clip followed by its variants."""
    axes = options.axes or int(store.frames.shape[-1])
    kinds = kinds_for(store.layout, axes, options.without)
    trained = Counter(int(store.index.label[clip]) for clip in kept if splits[int(clip)] == "train")
    for clip in kept.tolist():
        own = store.clip(clip)
        original = dataclasses.replace(own, coords=np.ascontiguousarray(own.coords[..., :axes]), split=splits[clip])
        yield original
        wanted = variants_of(trained[int(store.index.label[clip])], options) if original.split == "train" else 0
        packed = np.concatenate([original.coords, original.confidence[..., None]], axis=-1)
        for number in range(wanted if kinds and original.confidence.any() else 0):
            made = make_variant(
                packed, store.layout, number, kinds, np.random.default_rng([options.seed, clip, number])
            )
            yield SkeletonClip.from_points(
                made[..., :-1], layout=own.layout, fps=own.fps, units=own.units, label=own.label,
                confidence=np.nan_to_num(made[..., -1]),
                **original.about | {"source_id": f"{own.source_id}#v{number:02d}"},
            )  # fmt: skip


def variants_of(count: int, options: PoolOptions) -> int:
    """Variants of each of a class's `count` training clips."""
    return min(options.variants, math.ceil(max(options.per_class - count, 0) / count))
