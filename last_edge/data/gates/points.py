"""Gates on the points of any store: shape, missing and false points, size, speed, origin."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from last_edge.clips import ClipStore
from last_edge.data.gates.figures import ClipFigures, Column
from last_edge.data.gates.gate import Gate, Limits, no_clip, not_asked


def point_gates(store: ClipStore, figures: ClipFigures, limits: Limits) -> Iterator[Gate]:
    """The gates in the order of the report."""
    ids, lengths = store.index.source_id, store.index.length
    axes = store.header.shape[-1]
    yield Gate("shape", "float32 points of 2 or 3 axes", f"{store.frames.dtype} {store.header.shape}", axes in (2, 3))
    told = f"min {lengths.min()} / median {np.median(lengths):.0f} / max {lengths.max()} frames"
    yield no_clip("length", f"at least {limits.shortest:g} frames", lengths < limits.shortest, ids, told)
    yield no_clip("empty clips", "every clip shows a point", ~np.asarray(figures.seen.any(axis=1)), ids)
    yield no_clip("zero clips", "no clip lies whole at 0 0 0", figures.zero, ids)
    yield no_clip("still clips", "something moves in every clip", (figures.step == 0) & (lengths > 1), ids)
    yield _missing(figures, lengths, limits)
    yield _bodies(store, figures)
    yield no_clip("first body", "body 0 is there whenever another is", _headless(figures), ids)
    largest = f"{figures.largest.max():.3g}"
    yield no_clip("coordinates", f"|x| up to {limits.largest:g}", figures.largest > limits.largest, ids, largest)
    yield _speed(store, figures, limits)
    yield _size(store, figures, limits)
    yield _limb(store, figures, limits)


def worst(column: Column, store: ClipStore, *, count: int = 5) -> tuple[str, ...]:
    """Ids of the clips with the largest values."""
    order = np.argsort(-np.nan_to_num(column, nan=-np.inf), kind="stable")[:count]
    return tuple(map(str, store.index.source_id[order]))


def _headless(figures: ClipFigures) -> NDArray[np.bool_]:
    return np.asarray((figures.seen[:, 0] == 0) & figures.seen.any(axis=1))


def _missing(figures: ClipFigures, lengths: NDArray[np.int64], limits: Limits) -> Gate:
    share = float(1 - np.average(figures.seen[:, 0], weights=lengths))
    rule = f"up to {limits.missing:.0%} of body 0's points"
    return Gate("missing points", rule, f"{share:.2%}", share <= limits.missing)


def _bodies(store: ClipStore, figures: ClipFigures) -> Gate:
    shown = (figures.seen > 0).mean(axis=0)
    found = ", ".join(f"body {place} in {share:.1%} of clips" for place, share in enumerate(shown))
    return Gate("bodies", "each place is taken in some clip", found, bool((shown > 0).all()))


def _speed(store: ClipStore, figures: ClipFigures, limits: Limits) -> Gate:
    share = float(figures.fast.sum() / max(int(figures.steps.sum()), 1))
    rule = f"up to {limits.fast:.2%} of steps over {limits.step:g} {store.units} a frame"
    found = f"{share:.4%}, longest {figures.step.max():.3g}"
    passed = share <= limits.fast
    return Gate("speed", rule, found, passed, () if passed else worst(figures.step, store))


def _size(store: ClipStore, figures: ClipFigures, limits: Limits) -> Gate:
    rule = f"a body of {limits.smallest:g} to {limits.tallest:g} metres"
    if store.units != "metres" or np.isnan(figures.extent).all():
        return not_asked("size", rule, f"the store is in {store.units}" if store.units != "metres" else "no body 0")
    median = float(np.nanmedian(figures.extent))
    passed = limits.smallest <= median <= limits.tallest
    return Gate("size", rule, f"median {median:.3g} m", passed, () if passed else worst(figures.extent, store))


def _limb(store: ClipStore, figures: ClipFigures, limits: Limits) -> Gate:
    rule = f"the unit limb varies by up to {limits.spread:.0%} within a clip"
    if store.units != "metres" or np.isnan(figures.spread).all():
        return not_asked("limb", rule, "in image units limbs turn" if store.units != "metres" else "no unit limb")
    spread, limb = float(np.nanmedian(figures.spread)), float(np.nanmedian(figures.limb))
    passed = spread <= limits.spread
    found = f"median {spread:.1%} of {limb:.3g} m"
    return Gate("limb", rule, found, passed, () if passed else worst(figures.spread, store))
