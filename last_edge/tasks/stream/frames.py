"""What is shown at every frame: names of the classes, and shares of frames that are right."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore
from last_edge.errors import UsageError

BACKGROUND = "background"


logger = logging.getLogger(__name__)


def stream_labels(store: ClipStore) -> tuple[str, ...]:
    """Names of a streaming model's classes: the store's that can be learnt from it, and background behind them."""
    strange = _only_tested(store)
    return (*(label for label in store.labels if label not in strange), BACKGROUND)


def taught(store: ClipStore) -> ClipStore:
    """A store as networks for streams learn it: labels that only its test shows mean nothing and are no classes."""
    if not (strange := _only_tested(store)):
        return store
    logger.warning("%s: shown by the test alone, so movements that mean nothing: %s", store.path, ", ".join(strange))
    return relabelled(store, tuple(label for label in store.labels if label not in strange))


def _only_tested(store: ClipStore) -> list[str]:
    tested, learnt = set[int](), set[int]()
    for clip in store.recordings():
        shown = tested if store.index.split[clip] == "test" else learnt
        shown.update(store.index.spans[clip][:, 0].tolist())
    return [store.labels[label] for label in sorted(tested - learnt)] if learnt else []


def relabelled(store: ClipStore, labels: tuple[str, ...]) -> ClipStore:
    """A store of these labels in this order, matched by name; a span of another one is background."""
    places = np.array([labels.index(name) if name in labels else -1 for name in store.labels] + [-1], np.int64)
    spans = np.empty(len(store), np.object_)
    for clip, own in enumerate(store.index.spans):
        numbered = np.column_stack([places[own[:, 0]], own[:, 1:]]).astype(np.int64).reshape(-1, 3)
        spans[clip] = numbered[numbered[:, 0] >= 0]
    index = replace(store.index, label=places[store.index.label], spans=spans)
    return replace(store, header=replace(store.header, labels=labels), index=index)


EVERY_OTHER = "*"
"""Stands for all labels that were never learnt."""


def without_unknown(store: ClipStore, labels: tuple[str, ...], unknown: Sequence[str]) -> ClipStore:
    """A store whose spans of some labels are background: movements that a network with `labels` does not know.

    unknown: names, or `EVERY_OTHER`. `UsageError` for one that the store lacks.
    """
    if not unknown:
        return store
    if strange := set(unknown) - {*store.labels, EVERY_OTHER}:
        raise UsageError("no such label in the store", got=", ".join(sorted(strange)), expected=", ".join(store.labels))
    gone = [name in unknown or (EVERY_OTHER in unknown and name not in labels) for name in store.labels]
    spans = np.empty(len(store), np.object_)
    for clip, own in enumerate(store.index.spans):
        spans[clip] = own[~np.array([gone[label] for label in own[:, 0]], bool)]
    return replace(store, index=replace(store.index, spans=spans))


def frame_figures(answers: NDArray[np.int64], wanted: NDArray[np.int64], labels: tuple[str, ...]) -> dict[str, Any]:
    """Percent of frames that are right, the same as a mean over the classes that are shown, and frames by class."""
    right = answers == wanted
    by_class = {
        labels[label]: round(100.0 * float(right[wanted == label].mean()), 2) for label in np.unique(wanted).tolist()
    }
    return {
        "frames": round(100.0 * float(right.mean()), 2),
        "mean_class": round(float(np.mean(list(by_class.values()))), 2),
        "n": len(wanted),
        "by_class": by_class,
    }
