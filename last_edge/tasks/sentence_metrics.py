"""How good translations are: BLEU and chrF by sacrebleu, word error rate, what the words are, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from last_edge.errors import MissingError

ORDERS = (1, 2, 3, 4)
RUN = 3
EXAMPLES = 8


@dataclass(frozen=True)
class Tier:
    """A grade of success. loss: validation loss below; gap: of it above the training loss, below; bleu4: above.

    coverage: of the training texts' words, above. repetition: of an answer that was free to repeat itself, at most.
    distinct: different sentences among the answers, for each different one among the references, above. All in percent
    but the losses.
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
              ("vocabulary_coverage", ">=", tier.coverage), ("repetition_unblocked", "<=", tier.repetition),
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
