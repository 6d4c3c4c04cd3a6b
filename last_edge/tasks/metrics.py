"""What is measured of classes and of sentences: the same functions serve training, exported files and reports.

Sentences: BLEU and chrF by sacrebleu, word error rate, what the words are, and a verdict.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.clips.store import ClipStore
from last_edge.errors import MissingError, UsageError
from last_edge.logits import Logits, softmax

Labels = NDArray[np.int64]
CALIBRATION_BINS = 15


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


def agreement_holds(same: int, n: int, least: float) -> bool:
    """Whether `same` equal answers of `n` are at least `least` percent; one may always differ.

    Where one weighs more than the limit leaves, the share's interval has to reach it.
    """
    few = 100.0 / n > 100.0 - least
    return n - same <= 1 or 100.0 * same / n >= least - 1e-9 or (few and wilson(same, n)[1] >= least)


def calibration_error(logits: Logits, labels: Labels) -> float:
    """Expected calibration error in percent (Guo et al. 2017), equal-width bins of the top probability."""
    rows = _by_confidence(logits, labels)
    gaps = sum(abs(float((hits - confidence).sum())) for confidence, hits in rows)
    return round(100.0 * gaps / max(len(labels), 1), 2)


def reliability(logits: Logits, labels: Labels) -> list[dict[str, float]]:
    """The bins of `calibration_error` that have clips: mean top probability and share of hits in percent, and count."""
    return [
        {"confidence": round(100.0 * float(confidence.mean()), 2), "right": percent(hits), "n": len(hits)}
        for confidence, hits in _by_confidence(logits, labels)
        if len(hits)
    ]


def _by_confidence(logits: Logits, labels: Labels) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Top probability and hit of each clip, by equal-width bins of the first."""
    probabilities = softmax(logits).astype(np.float32)
    confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    return [(confidence[which == b], hits[which == b]) for b in range(CALIBRATION_BINS)]


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
    probabilities = softmax(logits).astype(np.float32)
    sums = np.stack([probabilities[:, place == index].sum(axis=1) for index in range(len(kept))], axis=1)
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


ORDERS = (1, 2, 3, 4)
RUN = 3
EXAMPLES = 8


@dataclass(frozen=True)
class Tier:
    """A grade of success. loss: validation loss below; gap: of it above the training loss, below; bleu4: above.

    coverage: of the training texts' words, above. repetition: of an answer that was free to repeat itself, at most.
    distinct: different sentences among the answers, for each different one among the references, at least. All in
    percent but the losses.
    """

    name: str
    loss: float
    gap: float
    bleu4: float
    coverage: float | None = None
    repetition: float | None = None
    distinct: float | None = None


TIERS = (
    Tier("excellent", loss=3.8, gap=0.2, bleu4=8.0, coverage=2.0, repetition=1.0, distinct=50.0),
    Tier("good", loss=4.0, gap=0.3, bleu4=3.0, coverage=2.0),
    Tier("minimum", loss=4.5, gap=0.5, bleu4=1.5),
)
"""The grades of the How2Sign V4 strategy, each with the bounds of those below it.

Its "coherent predictions (no repetitions)" is held to be two things: 99 of 100 runs of three words are new where
nothing blocks repetition, and the answers are at least half as varied as the references.
"""


def translation_metrics(said: Sequence[str], wanted: Sequence[str]) -> dict[str, Any]:
    """Figures of translations against one reference each, both normalised alike; shares in percent.

    wer: words to change, add or drop for each word of the references. word_coverage: of the references' distinct words,
    those that were said. repetition: runs of three words that came before in the same sentence. distinct: different
    sentences among those said, reference_distinct: among the references. words, reference_words: a sentence on average.
    """
    bleu, chrf = _sacrebleu()
    scores = [bleu(max_ngram_order=order, lowercase=True, force=True) for order in ORDERS]
    words = [text.split() for text in said]
    whole = [text.split() for text in wanted]
    return {
        **{
            f"bleu{order}": round(float(score.corpus_score(list(said), [list(wanted)]).score), 2)
            for order, score in zip(ORDERS, scores, strict=True)
        },
        "chrf": round(float(chrf(lowercase=True).corpus_score(list(said), [list(wanted)]).score), 2),
        "wer": word_error_rate(words, whole),
        "exact": _percent(sum(one == other for one, other in zip(words, whole, strict=True)), len(words)),
        "word_coverage": coverage(words, whole),
        "repetition": repetition(words),
        "distinct": _percent(len(set(said)), len(said)),
        "reference_distinct": _percent(len(set(wanted)), len(wanted)),
        "words": round(sum(map(len, words)) / max(len(words), 1), 2),
        "reference_words": round(sum(map(len, whole)) / max(len(whole), 1), 2),
        "n": len(said),
        "signature": str(scores[-1].get_signature()),
        "examples": [{"wanted": one, "said": other} for one, other in list(zip(wanted, said, strict=True))[:EXAMPLES]],
    }


def word_error_rate(said: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> float:
    """Edits a word of the references, in percent; above 100 where more is said than wanted."""
    import jiwer

    pairs = [(" ".join(one), " ".join(other)) for one, other in zip(said, wanted, strict=True)]
    counted = jiwer.process_words([other for _, other in pairs], [one for one, _ in pairs])
    edits = counted.substitutions + counted.deletions + counted.insertions
    return _percent(edits, sum(map(len, wanted)))


def coverage(said: Sequence[Sequence[str]], known: Sequence[Sequence[str]]) -> float:
    """Percent of the distinct words of some sentences that others say."""
    words, of = ({word for text in texts for word in text} for texts in (said, known))
    return _percent(len(words & of), len(of))


def repetition(said: Sequence[Sequence[str]]) -> float:
    """Percent of runs of three words that the same sentence had before (Welleck et al. 2020, seq-rep-3)."""
    runs = [[tuple(text[at : at + RUN]) for at in range(len(text) - RUN + 1)] for text in said]
    return _percent(sum(len(text) - len(set(text)) for text in runs), sum(map(len, runs)))


def verdict(figures: dict[str, Any]) -> dict[str, str]:
    """The best grade whose every bound holds, and what the next better one lacks.

    figures: those of `translation_metrics` with `loss`, `gap`, `vocabulary_coverage` (of the training texts' words) and
    `repetition_unblocked` (of a search that may repeat); a bound on what is unknown fails.
    """
    reached, lacking = "none", _lacks(figures, TIERS[-1])
    for place, tier in enumerate(TIERS):
        if not _lacks(figures, tier):
            reached, lacking = tier.name, _lacks(figures, TIERS[place - 1]) if place else []
            break
    return {"tier": reached, "next": "; ".join(lacking)}


def _lacks(figures: dict[str, Any], tier: Tier) -> list[str]:
    varied = tier.distinct and tier.distinct / 100 * float(figures.get("reference_distinct", math.nan))
    bounds = (("loss", "<", tier.loss), ("gap", "<", tier.gap), ("bleu4", ">", tier.bleu4),
              ("vocabulary_coverage", ">", tier.coverage), ("repetition_unblocked", "<=", tier.repetition),
              ("distinct", ">=", varied))  # fmt: skip
    return [
        f"{tier.name} needs {name} {sign} {bound:g}"
        for name, sign, bound in bounds
        if bound is not None and not _holds(float(figures.get(name, math.nan)), sign, bound)
    ]


def _holds(value: float, sign: str, bound: float) -> bool:
    return {"<": value < bound, ">": value > bound, "<=": value <= bound, ">=": value >= bound}[sign]


def _percent(part: float, whole: float) -> float:
    return round(100.0 * part / whole, 2) if whole else 0.0


def _sacrebleu() -> tuple[Any, Any]:
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise MissingError("BLEU needs sacrebleu", hint="pip install 'last-edge[translate]'") from error
    return BLEU, CHRF
