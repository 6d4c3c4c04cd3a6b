"""The two losses of pre-training."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def nt_xent(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Normalised-temperature cross entropy of two views (Chen et al. 2020, SimCLR, eq. 1), in float32.

    one, other: (N, D), row i of both from the same clip. Each of the 2N is to find its other view among the 2N - 1 that
    are not itself, by cosine similarity over `temperature`.
    """
    views = nn.functional.normalize(torch.cat([one, other]).float(), dim=1)
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    similarity = (views @ views.T / temperature).masked_fill(itself, -torch.inf)
    partner = torch.arange(len(views), device=views.device).roll(len(one))
    return nn.functional.cross_entropy(similarity, partner)


def masked_error(predicted: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Mean squared error over the entries where `counts` is 1, in float32; 0 where it is nowhere. All of one shape."""
    squares = (predicted.float() - target.float()).square() * counts
    return squares.sum() / counts.sum().clamp(min=1.0)
