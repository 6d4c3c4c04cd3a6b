"""What is measured of a classifier, in numpy: the same function serves training, exported files and reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore
from last_edge.errors import UsageError

Logits = NDArray[np.float32]
Labels = NDArray[np.int64]
CALIBRATION_BINS = 15


def softmax(logits: Logits) -> Logits:
    """(n, K) logits -> probabilities."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float32)


def ranks(logits: Logits, labels: Labels) -> NDArray[np.int64]:
    """(n,) how many classes score above the true one; a tie counts against the model, a non-finite score too."""
    own = logits[np.arange(len(labels)), labels][:, None]
    above = ~(logits < own)
    return np.asarray(above.sum(axis=1) - 1, np.int64)


def top_k(logits: Logits, labels: Labels, k: int) -> float:
    """Share of clips, in percent, whose true class is among the k best."""
    return percent(ranks(logits, labels) < k)


def percent(hits: NDArray[np.bool_]) -> float:
    """Mean of hits in percent, two decimals; 0 of nothing."""
    return round(100.0 * float(hits.mean()), 2) if len(hits) else 0.0


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95% interval, in percent, of a share of `right` in `n` (Wilson 1927); 0 to 100 of nothing."""
    if not n:
        return 0.0, 100.0
    share, z = right / n, 1.959964
    middle, half = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (100 * (middle + side * half) / (1 + z * z / n) for side in (-1, 1))
    return round(max(float(low), 0.0), 2), round(min(float(high), 100.0), 2)


def calibration_error(logits: Logits, labels: Labels, *, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error in percent (Guo et al. 2017), equal-width bins of the top probability."""
    rows = _by_confidence(logits, labels, bins=bins)
    gaps = sum(abs(float((hits - confidence).sum())) for confidence, hits in rows)
    return round(100.0 * gaps / max(len(labels), 1), 2)


def reliability(logits: Logits, labels: Labels, *, bins: int = CALIBRATION_BINS) -> list[dict[str, float]]:
    """The bins of `calibration_error` that have clips: mean top probability and share of hits in percent, and count."""
    return [
        {"confidence": round(100.0 * float(confidence.mean()), 2), "right": percent(hits), "n": len(hits)}
        for confidence, hits in _by_confidence(logits, labels, bins=bins)
        if len(hits)
    ]


def _by_confidence(logits: Logits, labels: Labels, *, bins: int) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Top probability and hit of each clip, by equal-width bins of the first."""
    probabilities = softmax(logits)
    confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return [(confidence[which == b], hits[which == b]) for b in range(bins)]


def confusion(logits: Logits, labels: Labels) -> NDArray[np.int64]:
    """(K, K) counts, row = true class, column = predicted."""
    classes = logits.shape[1]
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels, logits.argmax(axis=1)), 1)
    return table


def metrics_of(logits: Logits, store: ClipStore, clips: Labels, *, merge_at: str = "") -> dict[str, Any]:
    """Metrics of logits (n, K) for those clips of a store. merge_at: score coarser classes, see `merged`."""
    labels, names = store.index.label[clips], store.labels
    if merge_at:
        logits, labels, names = merged(logits, labels, names, at=merge_at)
    subjects = store.index.subject[clips].astype(str).tolist()
    return classification_metrics(logits, labels, subjects=subjects, label_names=names)


def merged(logits: Logits, labels: Labels, names: Sequence[str], *, at: str) -> tuple[Logits, Labels, tuple[str, ...]]:
    """Classes whose names agree before the last `at` become one, whose probability is the sum of theirs.

    logits (n, K), labels (n,), K names -> the same three with fewer classes, in order of first appearance.
    `UsageError` when nothing would be merged.
    """
    coarse = [name.rpartition(at)[0] or name for name in names]
    kept = tuple(dict.fromkeys(coarse))
    if len(kept) == len(names):
        raise UsageError(f"no two labels agree before {at!r}", got=tuple(names)[:3])
    place = np.asarray([kept.index(name) for name in coarse])
    sums = np.stack([softmax(logits)[:, place == index].sum(axis=1) for index in range(len(kept))], axis=1)
    return np.log(np.maximum(sums, np.finfo(np.float32).tiny)), place[labels], kept


def classification_metrics(
    logits: Logits, labels: Labels, *, subjects: Sequence[str], label_names: Sequence[str]
) -> dict[str, Any]:
    """Everything an evaluation reports; shares in percent. logits (n, K), labels (n,), subjects one a clip.

    absent: names of classes without a clip; `mean_class` is of the others.
    """
    hits = ranks(logits, labels) == 0
    who = np.asarray(subjects)
    shown = [index for index in range(len(label_names)) if (labels == index).any()]
    per_class = {label_names[index]: percent(hits[labels == index]) for index in shown}
    return {
        **{f"top{k}": top_k(logits, labels, k) for k in (1, 3, 5)},
        "n": len(labels),
        "mean_class": round(float(np.mean(list(per_class.values()))), 2) if per_class else 0.0,
        "ece": calibration_error(logits, labels),
        "reliability": reliability(logits, labels),
        "per_class": per_class,
        "absent": [name for index, name in enumerate(label_names) if index not in shown],
        "per_subject": {str(name): percent(hits[who == name]) for name in sorted(set(who.tolist()))},
        "confusion": confusion(logits, labels).tolist(),
        "labels": list(label_names),
    }
