"""Input-dependent gates of LAST-E: motion energy, and joint space-time attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

REDUCTION = 4
NARROWEST = 4


def bottleneck(channels: int) -> int:
    """Width of a gate's hidden layer."""
    return max(NARROWEST, channels // REDUCTION)


def motion_energy(x: Tensor) -> Tensor:
    """Mean over time and joints of |x[t+1] - x[t]|: (N, C, T, V) -> (N, C)."""
    return (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=(2, 3))


def blend(x: Tensor, gated: Tensor, alpha: Tensor) -> Tensor:
    """x + alpha * (gated - x): alpha starts at 0, so a new gate changes nothing."""
    return x + alpha * (gated - x)


class MotionGate(nn.Module):
    """Channel gate from motion energy: g = sigmoid(W2 relu(W1 e)), (N, C, T, V) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = bottleneck(channels)
        self.reduce = nn.Linear(channels, hidden, bias=False)
        self.restore = nn.Linear(hidden, channels, bias=False)
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        gate = torch.sigmoid(self.restore(torch.relu(self.reduce(motion_energy(x)))))
        return blend(x, x * gate[:, :, None, None], self.alpha)


class JointAttention(nn.Module):
    """ST_JointAtt: x times a temporal gate (N, C, T, 1) and a spatial gate (N, C, 1, V), blended in by alpha."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.temporal = _gate_branch(channels)
        self.spatial = _gate_branch(channels)
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> same."""
        over_time = torch.sigmoid(self.temporal(x.mean(3, keepdim=True)))
        over_joints = torch.sigmoid(self.spatial(x.mean(2, keepdim=True)))
        return blend(x, x * over_time * over_joints, self.alpha)


def _gate_branch(channels: int) -> nn.Sequential:
    hidden = bottleneck(channels)
    reduce, restore = nn.Conv2d(channels, hidden, 1, bias=False), nn.Conv2d(hidden, channels, 1, bias=False)
    return nn.Sequential(reduce, nn.BatchNorm2d(hidden), nn.ReLU(), restore)
