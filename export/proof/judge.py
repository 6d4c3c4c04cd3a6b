"""How near an 8-bit graph's answers are to the float one's on clips that had no part in making it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import Figure
from last_edge.export.onnx.session import logits_of
from last_edge.inputs.features import Inputs


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


class Judge:
    """Clips that judge, and what the float graph says to them."""

    def __init__(self, graph: bytes, inputs: Inputs, labels: NDArray[np.int64], *, threads: int = 1):
        self.inputs, self.labels, self.threads = inputs, labels, threads
        self.reference = logits_of(graph, inputs, threads=threads)
        self.spread = float(np.sqrt(np.square(_centred(self.reference)).mean()))

    def __call__(self, graph: bytes) -> Verdict:
        """The verdict on a graph."""
        return self.of_logits(logits_of(graph, self.inputs, threads=self.threads))

    def of_logits(self, logits: NDArray[np.float32]) -> Verdict:
        """The verdict on logits (n, K) of the judging clips."""
        same = logits.argmax(1) == self.reference.argmax(1)
        error = float(np.sqrt(np.square(_centred(logits - self.reference)).mean())) / max(self.spread, 1e-12)
        before, after = (100.0 * float((x.argmax(1) == self.labels).mean()) for x in (self.reference, logits))
        return Verdict(100.0 * float(same.mean()), 100.0 * error, before - after)


def _centred(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (n, K) less each clip's mean."""
    return np.asarray(logits - logits.mean(axis=1, keepdims=True))
