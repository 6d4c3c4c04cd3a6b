"""What a translator's INT8 files must hold to be shipped: BLEU-4, equal sentences, size and speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.export.int8.gates import SPEED, Gate, at_least, at_most
from last_edge.runtime.translator import Translator
from last_edge.tasks.config import QuantizeConfig
from last_edge.timing import Schedule, clock_for, time_in_turns

Points = NDArray[np.float32]
ROUNDS = 7


@dataclass(frozen=True)
class Judged:
    """What one precision says of the judging clips, and the milliseconds a sentence takes."""

    said: Sequence[str]
    bleu4: float
    ms: float


@dataclass(frozen=True)
class Files:
    """The 8-bit files together: their bytes, and the numbers in the float files they stand for."""

    size: int
    weights: int


def sentence_gates(reference: Judged, candidate: Judged, files: Files, limits: QuantizeConfig) -> list[Gate]:
    """Every gate of a recipe. One sentence may always go wrong."""
    one = 100.0 / len(reference.said)
    equal = 100.0 * float(np.mean([a == b for a, b in zip(reference.said, candidate.said, strict=True)]))
    size = limits.max_bytes_per_param * files.weights + limits.max_bytes_fixed
    return [
        at_most("drop of BLEU-4 in points", reference.bleu4 - candidate.bleu4, max(limits.max_bleu_drop, one)),
        at_least("equal sentences in %", equal, min(limits.min_equal_sentences, 100.0 - one)),
        at_most("bytes", files.size, size),
        at_least(SPEED, reference.ms / candidate.ms, limits.min_speedup),
    ]


def sentence_milliseconds(
    translators: dict[str, Translator], clips: Sequence[Points], *, threads: int = 1, rounds: int = ROUNDS
) -> dict[str, float]:
    """Median of the rounds' mean times of a clip's sentence, by translator; on one thread its processor time.

    clips: (T, V, C).
    """
    calls = [
        lambda index, translator=translator: translator.sentences(clips[index][None])
        for translator in translators.values()
    ]
    schedule = Schedule(rounds=rounds, calls=len(clips), warm_up=len(clips))
    times = time_in_turns(calls, schedule, clock=clock_for(threads))
    return {name: round(float(np.median(own.mean(axis=1))), 4) for name, own in zip(translators, times, strict=True)}
