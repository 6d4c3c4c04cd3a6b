"""How near an 8-bit graph's answers are to the float one's on clips that did not make it, and how fast it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import OUTPUT_NAME, Figure
from last_edge.export.onnx.session import logits_of, open_session
from last_edge.inputs.features import Inputs, pick
from last_edge.runtime.translator import Translator
from last_edge.timing import Schedule, clock_for, summarise, time_in_turns

SCHEDULE = Schedule(rounds=9, calls=20, warm_up=10)
SENTENCE_ROUNDS = 7


@dataclass(frozen=True)
class Verdict:
    """How an 8-bit graph does beside the float one.

    agreement: percent of clips with the same answer. error: root mean square of the logits' differences, in percent of
    the logits' own spread within a clip; what is added to all logits of a clip alike changes no answer and is left
    out. drop: points of top-1 below float.
    """

    agreement: float
    error: float
    drop: float

    @property
    def rank(self) -> tuple[float, float]:
        """Smaller is better: the logit error, which sees every clip, then the agreement, which sees the near ties."""
        return (self.error, -self.agreement)

    def row(self) -> dict[str, Figure]:
        """For a table."""
        return {"agreement": round(self.agreement, 2), "error": round(self.error, 3), "drop": round(self.drop, 2)}


class Evaluator:
    """Clips that judge, and what the float graph says to them."""

    def __init__(self, graph: bytes, inputs: Inputs, labels: NDArray[np.int64], *, threads: int = 1):
        self.inputs, self.labels, self.threads = inputs, labels, threads
        self.reference = logits_of(graph, inputs, threads=threads)
        self.spread = float(np.sqrt(np.square(_centred(self.reference)).mean()))

    def __call__(self, graph: bytes) -> Verdict:
        """The verdict on a graph."""
        logits = logits_of(graph, self.inputs, threads=self.threads)
        same = logits.argmax(1) == self.reference.argmax(1)
        error = float(np.sqrt(np.square(_centred(logits - self.reference)).mean())) / max(self.spread, 1e-12)
        before, after = (100.0 * float((x.argmax(1) == self.labels).mean()) for x in (self.reference, logits))
        return Verdict(100.0 * float(same.mean()), 100.0 * error, before - after)


def _centred(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (n, K) less each clip's mean."""
    return np.asarray(logits - logits.mean(axis=1, keepdims=True))


def milliseconds(graphs: dict[str, bytes], inputs: Inputs, *, threads: int = 1) -> dict[str, float]:
    """Median of the rounds' median times of one clip (1, T, V, C), by graph; on one thread its processor time."""
    sessions, feed = [open_session(graph, threads=threads) for graph in graphs.values()], pick(inputs, slice(1))
    calls = [lambda index, session=session: session.run([OUTPUT_NAME], feed) for session in sessions]
    times = time_in_turns(calls, SCHEDULE, clock=clock_for(threads))
    return {name: summarise(own).p50 for name, own in zip(graphs, times, strict=True)}


def sentence_milliseconds(
    translators: dict[str, Translator], clips: Sequence[NDArray[np.float32]], *, threads: int = 1
) -> dict[str, float]:
    """Median of the rounds' mean times of a clip's sentence, by translator; on one thread its processor time.

    clips: (T, V, C).
    """
    calls = [
        lambda index, translator=translator: translator.sentences(clips[index][None])
        for translator in translators.values()
    ]
    schedule = Schedule(rounds=SENTENCE_ROUNDS, calls=len(clips), warm_up=len(clips))
    times = time_in_turns(calls, schedule, clock=clock_for(threads))
    return {name: round(float(np.median(own.mean(axis=1))), 4) for name, own in zip(translators, times, strict=True)}
