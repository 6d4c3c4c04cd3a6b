"""Gates that any store must pass: its points, splits, classes and people; what they measure of every clip, once."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.clips import ClipStore
from last_edge.data.axes import LARGEST, Lie, Orientation, beyond_units, lie_of, upside_down
from last_edge.data.inspect import NEAR, NearPair
from last_edge.errors import GateError, UsageError
from last_edge.names import check_known
from last_edge.skeleton.layout import Layout, limb_length, limb_lengths

Points = NDArray[np.float32]
Column = NDArray[np.float64]
WORST = 5
SAME_PEOPLE = ("xview", "xset")
"""Protocols whose splits are cameras or setups: people, and in xview whole performances, are in both by design."""


@dataclass(frozen=True)
class Gate:
    """What was asked of a store and what was found.

    passed: None where the gate does not apply; `found` then tells why. clips: up to five that break the rule, the worst
    first.
    """

    name: str
    rule: str
    found: str
    passed: bool | None
    clips: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What the gates allow.

    shortest: frames. missing: share of body 0's points. largest: absolute coordinate, the trainer's input clamp.
    step: way of a joint between two frames, in the store's unit; fast: share of steps that may exceed it.
    spread: deviation of the layout's unit limb within a clip, by its mean. smallest, tallest: extent of body 0, in
    metres. origin: distance of the first frame's centre. near: distance at which two clips are one.
    copied: distance of shapes at which one clip is a changed copy of another.
    two_bodies: share of NTU's mutual actions that show both. spine_short, spine_long: NTU's spine base to shoulders.
    """

    shortest: float = 2
    missing: float = 0.5
    largest: float = 30.0
    step: float = 0.5
    fast: float = 0.001
    spread: float = 0.3
    smallest: float = 0.05
    tallest: float = 3.0
    origin: float = 0.001
    near: float = NEAR
    copied: float = 0.02
    two_bodies: float = 0.5
    spine_short: float = 0.3
    spine_long: float = 0.8


def limits_from(changes: Iterable[str]) -> Limits:
    """Limits with some changed by NAME=VALUE; `UsageError` names an unknown one or a value that is no number."""
    known = [field.name for field in dataclasses.fields(Limits)]
    values: dict[str, float] = {}
    for change in changes:
        name, _, text = change.partition("=")
        check_known(name, known, "limit")
        try:
            values[name] = float(text)
        except ValueError:
            raise UsageError("a limit is a number", expected=f"{name}=0.5", got=change) from None
    return Limits(**values)


def require(gates: Iterable[Gate], *, where: object) -> None:
    """`GateError` naming every gate that does not hold."""
    broken = [gate for gate in gates if gate.passed is False]
    if broken:
        got = "; ".join(f"{gate.name}: {gate.found}" for gate in broken)
        raise GateError("a quality gate failed", where=where, expected="; ".join(g.rule for g in broken), got=got)


def no_clip(name: str, rule: str, bad: NDArray[np.bool_], ids: NDArray[np.object_], found: str = "") -> Gate:
    """A gate that no clip may break. bad: (N,)."""
    count = int(bad.sum())
    return Gate(name, rule, found or f"{count} of {len(bad)} clips", count == 0, tuple(map(str, ids[bad][:WORST])))


def not_applicable(name: str, rule: str, why: str) -> Gate:
    """A gate that does not apply."""
    return Gate(name, rule, why, None)


@dataclass(frozen=True)
class ClipFigures:
    """Columns over the clips (N,), NaN where a clip does not show what is measured.

    seen: (N, M) share of points that each body shows. zero: every point shown lies at 0 0 0. largest: absolute
    coordinate. step: the longest way of a joint between two frames; steps, fast: how many there are and how many are
    longer than allowed. limb, spread: mean of the layout's unit limb and its deviation by that mean. extent: median
    longest side of body 0. origin: distance of the first joint of body 0 from 0 0 0 in the first frame that shows it.
    tilt: cosine between y and body 0's first bone in the first frame that shows it. lie: which way up and how far out
    (`axes`). digest: identity of the points.
    """

    seen: Column
    zero: NDArray[np.bool_]
    largest: Column
    step: Column
    steps: NDArray[np.int64]
    fast: NDArray[np.int64]
    limb: Column
    spread: Column
    extent: Column
    origin: Column
    tilt: Column
    lie: tuple[Lie, ...]
    digest: NDArray[np.object_]


def measure(store: ClipStore, *, step: float) -> ClipFigures:
    """Read every clip once. step: the way beyond which a joint counts as fast."""
    lies, rows = list[Lie](), []
    for clip in range(len(store)):
        points = store.points(clip)
        rows.append(_figures(points, store.layout, step))
        lies.append(lie_of(points, store.layout, store.units))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    kinds = {"zero": np.bool_, "steps": np.int64, "fast": np.int64, "digest": np.object_}
    arrays: dict[str, Any] = {name: np.array(cells, kinds.get(name, np.float64)) for name, cells in columns.items()}
    return ClipFigures(**arrays, lie=tuple(lies))


def _figures(points: Points, layout: Layout, step: float) -> dict[str, object]:
    """Figures of (M, T, V, C) points."""
    here = np.asarray(~np.isnan(points).any(-1))
    steps = np.linalg.norm(np.diff(points, axis=1), axis=-1)
    steps = steps[~np.isnan(steps)]
    lengths, limb = limb_lengths(points[0], layout), limb_length(points[0], layout)
    deviation = float(lengths[~np.isnan(lengths)].std()) if limb > 0 else np.nan
    origin, tilt = _first_pose(points[0])
    shown = np.abs(points[here])
    return {
        "seen": here.mean((1, 2)),
        "zero": bool(shown.size) and not shown.any(),
        "largest": shown.max(initial=0.0),
        "step": steps.max(initial=0.0),
        "steps": steps.size,
        "fast": int((steps > step).sum()),
        "limb": limb,
        "spread": deviation / limb,
        "extent": _extent(points[0][here[0].any(-1)]),
        "origin": origin,
        "tilt": tilt,
        "digest": hashlib.blake2b(np.ascontiguousarray(points).tobytes(), digest_size=16).digest(),
    }


def _extent(frames: Points) -> float:
    """Median longest side of the box about (T, V, C) points, each frame of which shows one."""
    if not len(frames):
        return np.nan
    return float(np.median((np.nanmax(frames, axis=1) - np.nanmin(frames, axis=1)).max(-1)))


def _first_pose(body: Points) -> tuple[float, float]:
    """Where the first joint first is, as its distance from 0 0 0, and how upright the bone to the second is there."""
    seen = np.flatnonzero(~np.isnan(body[:, 0]).any(-1))
    if not len(seen) or body.shape[1] < 2:
        return np.nan, np.nan
    root, bone = body[seen[0], 0], body[:, 1] - body[:, 0]
    shown = np.flatnonzero(~np.isnan(bone).any(-1))
    up = bone[shown[0]] if len(shown) else np.full(body.shape[-1], np.nan)
    return float(np.linalg.norm(root)), float(up[1] / max(float(np.linalg.norm(up)), 1e-9))


def point_gates(store: ClipStore, figures: ClipFigures, limits: Limits) -> Iterator[Gate]:
    """The gates in the order of the report."""
    ids, lengths = store.index.source_id, store.index.length
    axes = store.header.shape[-1]
    yield Gate("shape", "float32 points of 2 or 3 axes", f"{store.frames.dtype} {store.header.shape}", axes in (2, 3))
    found = f"min {lengths.min()} / median {np.median(lengths):.0f} / max {lengths.max()} frames"
    yield no_clip("length", f"at least {limits.shortest:g} frames", lengths < limits.shortest, ids, found)
    yield no_clip("empty clips", "every clip shows a point", ~np.asarray(figures.seen.any(axis=1)), ids)
    yield no_clip("zero clips", "no clip lies whole at 0 0 0", figures.zero, ids)
    yield no_clip("still clips", "something moves in every clip", (figures.step == 0) & (lengths > 1), ids)
    yield _missing(figures, lengths, limits)
    yield _bodies(store, figures)
    headless = np.asarray((figures.seen[:, 0] == 0) & figures.seen.any(axis=1))
    yield no_clip("first body", "body 0 is there whenever another is", headless, ids)
    largest = f"{figures.largest.max():.3g}"
    yield no_clip("coordinates", f"|x| up to {limits.largest:g}", figures.largest > limits.largest, ids, largest)
    yield _units(store, figures)
    yield _upright(store, figures)
    yield _speed(store, figures, limits)
    yield _size(store, figures, limits)
    yield _limb(store, figures, limits)


def worst(column: Column, store: ClipStore) -> tuple[str, ...]:
    """Ids of the clips with the largest values."""
    order = np.argsort(-np.nan_to_num(column, nan=-np.inf), kind="stable")[:WORST]
    return tuple(map(str, store.index.source_id[order]))


def _missing(figures: ClipFigures, lengths: NDArray[np.int64], limits: Limits) -> Gate:
    share = float(1 - np.average(figures.seen[:, 0], weights=lengths))
    rule = f"up to {limits.missing:.0%} of body 0's points"
    return Gate("missing points", rule, f"{share:.2%}", share <= limits.missing)


def _bodies(store: ClipStore, figures: ClipFigures) -> Gate:
    shown = (figures.seen > 0).mean(axis=0)
    found = ", ".join(f"body {place} in {share:.1%} of clips" for place, share in enumerate(shown))
    return Gate("bodies", "each place is taken in some clip", found, bool((shown > 0).all()))


def _units(store: ClipStore, figures: ClipFigures) -> Gate:
    far = beyond_units(figures.lie, store.units)
    rule = f"points within {LARGEST[store.units]:g} {store.units}"
    found = f"median {np.median([lie.far for lie in figures.lie]):.3g}"
    return Gate("units", rule, found + ("" if far is None else ": pixels?"), far is None)


def _upright(store: ClipStore, figures: ClipFigures) -> Gate:
    seen, wrong = Orientation.of(store.layout), upside_down(figures.lie, store.layout)
    if seen is None or wrong is None:
        return not_applicable("upright", "heads above wrists, fingers above wrists", "nothing tells up from down")
    share, failed = wrong
    rule = f"up to {seen.most:.0%} of clips show {seen.what}"
    ids = store.index.source_id[[bool(lie.upside) for lie in figures.lie]]
    found = f"{share:.1%}" + (": upside down?" if failed else "")
    return Gate("upright", rule, found, not failed, tuple(map(str, ids[:WORST])) if failed else ())


def _speed(store: ClipStore, figures: ClipFigures, limits: Limits) -> Gate:
    share = float(figures.fast.sum() / max(int(figures.steps.sum()), 1))
    rule = f"up to {limits.fast:.2%} of steps over {limits.step:g} {store.units} a frame"
    found = f"{share:.4%}, longest {figures.step.max():.3g}"
    passed = share <= limits.fast
    return Gate("speed", rule, found, passed, () if passed else worst(figures.step, store))


def _size(store: ClipStore, figures: ClipFigures, limits: Limits) -> Gate:
    rule = f"a body of {limits.smallest:g} to {limits.tallest:g} metres"
    if store.units != "metres" or np.isnan(figures.extent).all():
        return not_applicable(
            "size", rule, f"the store is in {store.units}" if store.units != "metres" else "no body 0"
        )
    median = float(np.nanmedian(figures.extent))
    passed = limits.smallest <= median <= limits.tallest
    return Gate("size", rule, f"median {median:.3g} m", passed, () if passed else worst(figures.extent, store))


def _limb(store: ClipStore, figures: ClipFigures, limits: Limits) -> Gate:
    rule = f"the unit limb varies by up to {limits.spread:.0%} within a clip"
    if store.units != "metres" or np.isnan(figures.spread).all():
        return not_applicable("limb", rule, "in image units limbs turn" if store.units != "metres" else "no unit limb")
    spread, limb = float(np.nanmedian(figures.spread)), float(np.nanmedian(figures.limb))
    passed = spread <= limits.spread
    found = f"median {spread:.1%} of {limb:.3g} m"
    return Gate("limb", rule, found, passed, () if passed else worst(figures.spread, store))


def people_gates(
    store: ClipStore, figures: ClipFigures, limits: Limits, pairs: Sequence[NearPair] | None
) -> Iterator[Gate]:
    """The gates in the order of the report. pairs: near-duplicates across splits, None where nobody looked."""
    index = store.index
    splits = Counter(split for split in index.split.tolist() if split)
    yield _splits(splits)
    yield no_clip("unlabelled", "every clip has a label", index.label < 0, index.source_id)
    yield _classes(store, sorted(splits))
    yield _taught(store)
    yield _people(store, sorted(splits))
    copies, ids = Counter(figures.digest.tolist()), Counter(index.source_id.tolist())
    twice = np.array([copies[digest] > 1 for digest in figures.digest])
    yield no_clip("equal clips", "no two clips have the same points", twice, index.source_id)
    named = np.array([bool(name) and ids[name] > 1 for name in index.source_id])
    yield no_clip("equal ids", "no two clips have the same id", named, index.source_id)
    yield _leaks(store, limits, pairs)


def protocol_of(store: ClipStore) -> str | None:
    """The NTU protocol a store was prepared for, None for other stores and for subjects left out by hand."""
    options = store.about.get("options") or {}
    if store.about.get("dataset") != "ntu" or options.get("leave_out"):
        return None
    return str(options.get("split_type") or "xsub")


def _splits(splits: Counter[str]) -> Gate:
    rule = "train and test have clips"
    if not splits:
        return not_applicable("splits", rule, "no clip names a split")
    found = ", ".join(f"{name} {count}" for name, count in sorted(splits.items()))
    return Gate("splits", rule, found, {"train", "test"} <= set(splits))


def _classes(store: ClipStore, splits: list[str]) -> Gate:
    """The histogram of labels: every class in every split."""
    rule = "every class has clips in every split"
    label, classes = store.index.label, len(store.labels)
    if not classes:
        return not_applicable("classes", rule, "no clip has a label")
    parts = {
        split: np.bincount(label[store.select(split=split)].clip(-1) + 1, minlength=classes + 1)[1:] for split in splits
    }
    parts = parts or {"all": np.bincount(label + 1, minlength=classes + 1)[1:]}
    found = ", ".join(f"{split} {counts.min()} to {counts.max()} a class" for split, counts in parts.items())
    absent = sorted({store.labels[number] for counts in parts.values() for number in np.flatnonzero(counts == 0)})
    if absent and store.about.get("dataset") == "ntu" and len(absent) * 2 > classes:
        return not_applicable("classes", rule, f"a part of the data set: {classes - len(absent)} of {classes} classes")
    found += f"; absent: {', '.join(absent[:WORST])}" if absent else ""
    return Gate("classes", rule, found, not absent)


def _taught(store: ClipStore) -> Gate:
    rule = "what is tested is taught"
    label, trains = store.index.label, store.select(split="train")
    asked = np.concatenate([store.select(split="val"), store.select(split="test")])
    if not len(trains) or not len(asked):
        return not_applicable("taught", rule, "no train and test split")
    unknown = (label[asked] >= 0) & ~np.isin(label[asked], label[trains])
    ids = tuple(map(str, store.index.source_id[asked[unknown]][:WORST]))
    return Gate("taught", rule, f"{int(unknown.sum())} clips of classes that never train", not unknown.any(), ids)


def _people(store: ClipStore, splits: list[str]) -> Gate:
    rule = "nobody is in two splits"
    protocol = protocol_of(store)
    if protocol in SAME_PEOPLE:
        return not_applicable("people", rule, f"{protocol} shares people by design")
    people = {split: set(store.index.subject[store.select(split=split)].tolist()) - {""} for split in splits}
    if len(splits) < 2 or not any(people.values()):
        return not_applicable("people", rule, "no people named in two splits")
    met = Counter(name for names in people.values() for name in names)
    both = sorted(name for name, count in met.items() if count > 1)
    found = ", ".join(f"{split} {len(names)}" for split, names in people.items())
    found += f"; in two: {', '.join(both[:WORST])}" if both else ""
    return Gate("people", rule, found, not both)


def _leaks(store: ClipStore, limits: Limits, pairs: Sequence[NearPair] | None) -> Gate:
    rule = f"no clip within {limits.near:.0%} of one in another split"
    if pairs is None:
        return not_applicable("leaks", rule, "not searched")
    if protocol_of(store) == "xview":
        return not_applicable("leaks", rule, "xview shares performances by design")
    return Gate("leaks", rule, f"{len(pairs)} pairs", not pairs, tuple(f"{p.one} ~ {p.other}" for p in pairs[:WORST]))
