"""What logits say: probabilities and how sure they are, in double precision."""

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]


def softmax(logits: Logits) -> NDArray[np.float64]:
    """(..., K) logits to probabilities that sum to 1."""
    exponents = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(-1, keepdims=True), np.float64)


def log_softmax(logits: Logits) -> NDArray[np.float64]:
    """(..., K) logits to log-probabilities."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def energy(logits: Logits, temperature: float = 1.0) -> NDArray[np.float64]:
    """(..., K) logits -> (...) scores T log sum exp(logits / T), high where a class answers (Liu et al. 2020)."""
    scaled = logits.astype(np.float64) / temperature
    most = scaled.max(-1, keepdims=True)
    return np.asarray(temperature * (most[..., 0] + np.log(np.exp(scaled - most).sum(-1))))
