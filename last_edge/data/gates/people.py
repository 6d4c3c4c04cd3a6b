"""Gates on who and what is in a store: splits, classes, people, duplicates, leaks from test into training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from last_edge.clips import ClipStore
from last_edge.data.duplicates import NearPair
from last_edge.data.gates.figures import ClipFigures
from last_edge.data.gates.gate import WORST, Gate, Limits, no_clip, not_asked

SAME_PEOPLE = ("xview", "xset")
"""Protocols whose splits are cameras or setups: people, and in xview whole performances, are in both by design."""


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
        return not_asked("splits", rule, "no clip names a split")
    found = ", ".join(f"{name} {count}" for name, count in sorted(splits.items()))
    return Gate("splits", rule, found, {"train", "test"} <= set(splits))


def _classes(store: ClipStore, splits: list[str]) -> Gate:
    """The histogram of labels: every class in every split."""
    rule = "every class has clips in every split"
    label, classes = store.index.label, len(store.labels)
    parts = {
        split: np.bincount(label[store.select(split=split)].clip(-1) + 1, minlength=classes + 1)[1:] for split in splits
    }
    parts = parts or {"all": np.bincount(label + 1, minlength=classes + 1)[1:]}
    told = ", ".join(f"{split} {counts.min()} to {counts.max()} a class" for split, counts in parts.items())
    absent = sorted({store.labels[number] for counts in parts.values() for number in np.flatnonzero(counts == 0)})
    if absent and store.about.get("dataset") == "ntu" and len(absent) * 2 > classes:
        return not_asked("classes", rule, f"a part of the data set: {classes - len(absent)} of {classes} classes")
    told += f"; absent: {', '.join(absent[:WORST])}" if absent else ""
    return Gate("classes", rule, told, not absent)


def _taught(store: ClipStore) -> Gate:
    rule = "what is tested is taught"
    label, trains = store.index.label, store.select(split="train")
    asked = np.concatenate([store.select(split="val"), store.select(split="test")])
    if not len(trains) or not len(asked):
        return not_asked("taught", rule, "no train and test split")
    unknown = (label[asked] >= 0) & ~np.isin(label[asked], label[trains])
    ids = tuple(map(str, store.index.source_id[asked[unknown]][:WORST]))
    return Gate("taught", rule, f"{int(unknown.sum())} clips of classes that never train", not unknown.any(), ids)


def _people(store: ClipStore, splits: list[str]) -> Gate:
    rule = "nobody is in two splits"
    protocol = protocol_of(store)
    if protocol in SAME_PEOPLE:
        return not_asked("people", rule, f"{protocol} shares people by design")
    people = {split: set(store.index.subject[store.select(split=split)].tolist()) - {""} for split in splits}
    if len(splits) < 2 or not any(people.values()):
        return not_asked("people", rule, "no people named in two splits")
    met = Counter(name for names in people.values() for name in names)
    both = sorted(name for name, count in met.items() if count > 1)
    found = ", ".join(f"{split} {len(names)}" for split, names in people.items())
    found += f"; in two: {', '.join(both[:WORST])}" if both else ""
    return Gate("people", rule, found, not both)


def _leaks(store: ClipStore, limits: Limits, pairs: Sequence[NearPair] | None) -> Gate:
    rule = f"no clip within {limits.near:.0%} of one in another split"
    if pairs is None:
        return not_asked("leaks", rule, "not searched")
    if protocol_of(store) == "xview":
        return not_asked("leaks", rule, "xview shares performances by design")
    return Gate("leaks", rule, f"{len(pairs)} pairs", not pairs, tuple(f"{p.one} ~ {p.other}" for p in pairs[:WORST]))
