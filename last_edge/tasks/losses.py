"""What a classifier owes to its labels: cross entropy, focal loss, weights for classes that are rare."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SMOOTHING_COUNT = 0.1
LIGHTEST, HEAVIEST = 0.1, 10.0
LEAST_DOUBT = 1e-7  # a power of 0 has no gradient


def class_weights(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """(K,) weights of classes by the labels of the training clips: rare ones count more.

    1 / (count + 0.1), scaled to a mean of 1 over the K classes, then limited to 0.1..10.
    """
    inverse = 1 / (np.bincount(labels, minlength=classes) + SMOOTHING_COUNT)
    return np.asarray(np.clip(inverse * classes / inverse.sum(), LIGHTEST, HEAVIEST), np.float32)


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Mean cross entropy against (1 - s) * target + s / K, in float32."""
    return torch.nn.functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing)


def label_loss(logits: Tensor, targets: Tensor, smoothing: float, *, gamma: float, weights: Tensor | None) -> Tensor:
    """Focal loss (Lin et al. 2017, eq. 4) of smoothed targets, each class with its weight; in float32.

    Each class's term - target * log p is multiplied by (1 - p)^gamma and by its weight, and the sum over the batch
    divided by the sum of the targets' weights: at gamma 0 it is torch's weighted cross entropy.
    """
    log_p = torch.log_softmax(logits.float(), dim=1)
    smoothed = (1 - smoothing) * targets + smoothing / targets.shape[1]
    by_class = torch.ones_like(log_p[0]) if weights is None else weights.to(log_p.device)
    terms = -smoothed * (-torch.expm1(log_p)).clamp(min=LEAST_DOUBT) ** gamma * log_p if gamma else -smoothed * log_p
    return (terms * by_class).sum() / (targets * by_class).sum()
