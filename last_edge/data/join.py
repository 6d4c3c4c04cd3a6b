"""Several stores as one: `last-edge data join`. One layout, one vocabulary, every hand upright as before a camera."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import Layout
from last_edge.skeleton.convert import convert_clip
from last_edge.skeleton.layout import rotation

UPRIGHT_DEG = 85.0
"""How steep a hand stands before a webcam: 0 points at the camera, 90 up."""
VERTICAL = (1, 2)


def join_stores(
    paths: Sequence[Path], out: Path, *, layout: Layout | None = None, labels: Path | None = None,
    upright: bool = False, force: bool = False,
) -> ClipStore:  # fmt: skip
    """Write the clips and recordings of some stores to `out`; a person is STORE/SUBJECT, by the store's folder.

    layout: that of all; None for the first store's. labels: JSON, `{"LEFT": "swipe left"}`, what each label is called
    here; others are left out: clips altogether, annotated spans become background. A store without any split trains.
    upright: turn each person's hand about the horizontal, by one angle, so that it stands upright in the middle of
    their gestures; whoever shows none is left alone. Raises `InputError` where units or folders' names do not fit
    together, `UsageError` for a layout that has no hand to turn.
    """
    stores = [ClipStore.open(path) for path in paths]
    first = stores[0]
    layout = layout or first.layout
    if strange := [store for store in stores if store.units != first.units]:
        raise InputError("stores in other units", where=strange[0].path, expected=first.units, got=strange[0].units)
    names = [path.resolve().name for path in paths]
    if len(set(names)) != len(names):
        raise InputError("stores of one name", expected="folders of different names", got=", ".join(names))
    if upright and (not layout.one_hand or first.units != "metres"):
        raise UsageError("--upright turns hands", expected="a layout of one hand, in metres", got=layout.name)
    renamed = _renamed(stores, labels)
    terms = dict.fromkeys(str(store.about.get("licence") or "unknown") for store in stores)
    about: dict[str, Any] = {
        "title": " and ".join(names), "axes": first.about.get("axes", ""), "dataset": "joined",
        "licence": "; ".join(terms),
        "joined": {name: store.sha256 for name, store in zip(names, stores, strict=True)},
        "labels": renamed, "upright": upright,
    }  # fmt: skip
    classes = tuple(dict.fromkeys(renamed.values()))
    with writing_store(out, layout=layout, units=first.units, labels=classes, about=about, force=force) as writer:
        for name, store in zip(names, stores, strict=True):
            turns, undivided = _turns(store, renamed) if upright else {}, not any(store.index.split)
            for number in range(len(store)):
                clip = store.clip(number)
                if clip.label is not None and clip.label not in renamed:
                    continue
                clip = convert_clip(clip, layout)
                if clip.subject in turns:
                    clip = dataclasses.replace(clip, coords=(clip.coords @ turns[clip.subject].T).astype(np.float32))
                spans = [span._replace(label=renamed[span.label]) for span in clip.spans if span.label in renamed]
                writer.add(dataclasses.replace(
                    clip, label=None if clip.label is None else renamed[clip.label], spans=tuple(spans),
                    subject=f"{name}/{clip.subject}", source_id=f"{name}/{clip.source_id or number}",
                    split="train" if undivided else clip.split,
                ))  # fmt: skip
    return ClipStore.open(out)


def _renamed(stores: Sequence[ClipStore], labels: Path | None) -> dict[str, str]:
    """What each label is called; `InputError` for one in the file that no store has."""
    there = dict.fromkeys(label for store in stores for label in store.labels)
    if labels is None:
        return {label: label for label in there}
    given = records.read_json(labels)
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given.values()):
        raise InputError("not a table of labels", where=labels, expected='{"LEFT": "swipe left"}')
    if strange := [label for label in given if label not in there]:
        raise InputError("labels that no store has", where=labels, expected=", ".join(there), got=", ".join(strange))
    return {label: str(name) for label, name in given.items()}


def _turns(store: ClipStore, kept: Collection[str]) -> dict[str, NDArray[np.float64]]:
    """Of each person with gestures that are kept the matrix that sets the hand upright, by its median steepness."""
    if store.layout.scale is None:
        return {}
    low, high = (list(ends) for ends in store.layout.scale)
    steep: dict[str, list[NDArray[np.float64]]] = {}
    for number in range(len(store)):
        points = store.points(number)[0]
        length = int(store.index.length[number])
        whole = [(int(store.index.label[number]), 0, length - 1)] if store.index.label[number] >= 0 else []
        for label, first, last in (*whole, *store.index.spans[number].tolist()):
            if store.labels[label] not in kept:
                continue
            along = points[first : last + 1, high].mean(axis=1) - points[first : last + 1, low].mean(axis=1)
            angles = np.degrees(np.arctan2(along[:, 1], -along[:, 2]))
            steep.setdefault(str(store.index.subject[number]), []).append(angles[np.isfinite(angles)])
    medians = {subject: float(np.median(np.concatenate(angles))) for subject, angles in steep.items()}
    return {
        subject: rotation(np.radians(UPRIGHT_DEG - angle), VERTICAL)
        for subject, angle in medians.items() if np.isfinite(angle)
    }  # fmt: skip
