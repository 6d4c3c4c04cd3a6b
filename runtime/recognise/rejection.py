"""How sure a model may say it is, and when it should say nothing: temperature and energy, found when it was exported.

Probabilities are softmax(logits / T) (Guo et al. 2017). The energy score T log sum exp(logits / T) (Liu et al. 2020) is
low where no class answers, as for an idle body or an unknown motion; it needs the logits alone, so any file gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Rejection:
    """temperature: divides the logits. least_energy: score below which a motion is unknown; -inf refuses nothing."""

    temperature: float = 1.0
    least_energy: float = -np.inf

    @classmethod
    def of(cls, thresholds: Mapping[str, float]) -> Rejection:
        """What a manifest's `thresholds` say; the usual where they say nothing."""
        return cls(thresholds.get("temperature", 1.0), thresholds.get("energy", -np.inf))

    def knows(self, logits: NDArray[np.float32]) -> bool:
        """Whether logits (K,) are those of a motion that the model was taught."""
        return bool(energy(logits, self.temperature) >= self.least_energy)

    def probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        """(K,) logits to probabilities that sum to 1."""
        return softmax(logits / self.temperature)


def energy(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """(..., K) logits -> (...) scores, high where a class answers."""
    scaled = logits.astype(np.float64) / temperature
    most = scaled.max(-1, keepdims=True)
    return np.asarray(temperature * (most[..., 0] + np.log(np.exp(scaled - most).sum(-1))))


def softmax(logits: NDArray[np.float32]) -> Probabilities:
    """(..., K) logits to probabilities that sum to 1."""
    exponents = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(-1, keepdims=True), np.float64)
