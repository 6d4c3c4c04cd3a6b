"""How many clips a store holds of each label, by person."""

from __future__ import annotations

from last_edge.clips import ClipStore

Counts = dict[str, dict[str, int]]


def counts_of(store: ClipStore) -> Counts:
    """Clips by label and subject; unlabelled ones under ""."""
    counts: Counts = {label: {} for label in store.labels}
    for label, subject in zip(store.index.label.tolist(), store.index.subject.tolist(), strict=True):
        own = counts.setdefault(store.labels[label] if label >= 0 else "", {})
        own[subject] = own.get(subject, 0) + 1
    return counts


def last_of(store: ClipStore, label: str, subject: str, *, count: int) -> list[int]:
    """Numbers of the newest clips of a label and subject, at most `count`."""
    if label not in store.labels or count == 0:
        return []
    index = store.index
    own = (index.label == store.labels.index(label)) & (index.subject.astype(str) == subject)
    return [number for number, chosen in enumerate(own.tolist()) if chosen][-count:]
