"""Gates on stores of NTU RGB+D: ids, protocol, missing and absent files, published counts, the body's pose and size."""

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from last_edge.clips import ClipStore
from last_edge.data.gates.general import WORST, ClipFigures, Gate, Limits, no_clip, not_applicable, protocol_of
from last_edge.data.readers.ntu import MUTUAL_ACTIONS, NONE, OFFICIAL, NtuName, missing_ids, parse_id
from last_edge.data.synth.ntu import HALVES, PUBLISHED

FRAMES = (8, 300)
"""Shortest and longest clip of NTU 120, as the LAST documents give them."""
UPRIGHT = 0.9999
WHOLE = 0.5
"""From this share of the published clips on a store is taken for the whole data set."""

Names = list[NtuName | None]


def ntu_gates(store: ClipStore, figures: ClipFigures, limits: Limits) -> Iterator[Gate]:
    """The gates in the order of the report; none for stores of other data."""
    if store.about.get("dataset") != "ntu":
        return
    names: Names = [parse_id(str(name)) for name in store.index.source_id]
    options = store.about.get("options") or {}
    choice = str(options.get("missing_list") or OFFICIAL)
    ids, lengths = store.index.source_id, store.index.length
    yield no_clip("ntu ids", "id, label, person, camera and setup agree", _odd_ids(store, names), ids)
    yield _protocol(store, names)
    yield _listed(store, choice)
    yield _complete(names, choice)
    yield _published(store, choice)
    outside = (lengths < FRAMES[0]) | (lengths > FRAMES[1])
    yield no_clip("ntu length", "{} to {} frames".format(*FRAMES), outside, ids)
    yield _two_bodies(names, figures, limits)
    yield _spine(figures, limits)
    yield _origin(store, figures, limits, asked=options.get("centre") is not False)
    yield _upright(store, figures, asked=bool(options.get("rotate")))


def _odd_ids(store: ClipStore, names: Names) -> NDArray[np.bool_]:
    index = store.index
    rows = zip(names, index.label, index.subject, index.camera, index.setup, strict=True)
    return np.array(
        [
            name is None
            or (label, *row) != (name.action - 1, f"P{name.subject:03d}", f"C{name.camera:03d}", f"S{name.setup:03d}")
            for name, label, *row in rows
        ]
    )


def _protocol(store: ClipStore, names: Names) -> Gate:
    protocol = protocol_of(store)
    rule = f"each clip is in the split that {protocol or 'the protocol'} gives it"
    if protocol is None:
        return not_applicable("ntu protocol", rule, "subjects were left out by hand")
    wrong = [
        name is not None and name.split(protocol) != split for name, split in zip(names, store.index.split, strict=True)
    ]
    return no_clip("ntu protocol", rule, np.array(wrong), store.index.source_id)


def _listed(store: ClipStore, choice: str) -> Gate:
    rule = "no clip of the missing list"
    if choice != OFFICIAL:
        return not_applicable("ntu missing list", rule, f"prepared with --missing-list {choice}")
    ids = store.index.source_id
    return no_clip("ntu missing list", rule, np.isin(ids.astype(str), sorted(missing_ids())), ids)


def _complete(names: Names, choice: str) -> Gate:
    """Whoever performs in a setup does every action twice before all cameras; what the store shows tells which."""
    rule = "every group has all cameras, repetitions and actions"
    if choice not in (OFFICIAL, NONE):
        return not_applicable("ntu complete", rule, f"prepared with --missing-list {choice}")
    known = [name for name in names if name is not None]
    absent = sorted(_expected(known) - {name.clip_id for name in known} - missing_ids())
    found = f"{len(absent)} clips absent" if absent else f"{len(known)} clips"
    return Gate("ntu complete", rule, found, not absent, tuple(absent[:WORST]))


def _expected(known: list[NtuName]) -> set[str]:
    expected: set[str] = set()
    for half in HALVES:
        names = [name for name in known if name.action in half.actions]
        groups = {(name.setup, name.subject) for name in names}
        seen = product(*({getattr(name, part) for name in names} for part in ("camera", "repeat", "action")))
        for (camera, repeat, action), (setup, subject) in product(list(seen), groups):
            expected.add(NtuName.of(setup, camera, subject, repeat, action).clip_id)
    return expected


def _published(store: ClipStore, choice: str) -> Gate:
    rule = "as many clips as published"
    key = (len(store.labels), protocol_of(store) or "")
    if key not in PUBLISHED or choice not in (OFFICIAL, NONE):
        return not_applicable("ntu counts", rule, "no published counts for this protocol")
    published = PUBLISHED[key]["kept" if choice == OFFICIAL else "all"]
    counts = (len(store.select(split="train")), len(store.select(split="test")))
    found = "{} train, {} test of {} and {}".format(*counts, *published)
    if sum(counts) < WHOLE * sum(published):
        return not_applicable("ntu counts", rule, f"a part of the data set: {found}")
    return Gate("ntu counts", rule, found, counts == published)


def _two_bodies(names: Names, figures: ClipFigures, limits: Limits) -> Gate:
    rule = f"both people in {limits.two_bodies:.0%} of the mutual actions' clips"
    mutual = np.array([name is not None and name.action in MUTUAL_ACTIONS for name in names])
    if not mutual.any() or figures.seen.shape[1] < 2:
        return not_applicable("ntu two bodies", rule, "no mutual action")
    share = float((figures.seen[mutual, 1] > 0).mean())
    return Gate("ntu two bodies", rule, f"{share:.1%} of {int(mutual.sum())}", share >= limits.two_bodies)


def _spine(figures: ClipFigures, limits: Limits) -> Gate:
    rule = f"spine base to shoulders of {limits.spine_short:g} to {limits.spine_long:g} m"
    if np.isnan(figures.limb).all():
        return not_applicable("ntu spine", rule, "no clip shows it")
    low, median, high = np.nanquantile(figures.limb, (0.01, 0.5, 0.99))
    found = f"median {median:.3f} m, 98 % within {low:.3f} to {high:.3f}"
    return Gate("ntu spine", rule, found, bool(limits.spine_short <= median <= limits.spine_long))


def _origin(store: ClipStore, figures: ClipFigures, limits: Limits, *, asked: bool) -> Gate:
    rule = f"body 0 starts within {limits.origin:g} m of the origin"
    if not asked:
        return not_applicable("ntu origin", rule, "prepared with --no-centre")
    found = f"furthest {np.nanmax(figures.origin, initial=0.0):.2g} m"
    return no_clip("ntu origin", rule, figures.origin > limits.origin, store.index.source_id, found)


def _upright(store: ClipStore, figures: ClipFigures, *, asked: bool) -> Gate:
    rule = "body 0's spine starts along y"
    if not asked:
        return not_applicable("ntu upright", rule, "prepared without --rotate")
    return no_clip("ntu upright", rule, figures.tilt < UPRIGHT, store.index.source_id)
