"""Input-dependent gates of LAST-E: motion energy, temporal spectrum, and joint space-time attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.models.blocks.precision import full_precision

REDUCTION = 4
NARROWEST = 4
BANDS = 3


def bottleneck(channels: int) -> int:
    """Width of a gate's hidden layer."""
    return max(NARROWEST, channels // REDUCTION)


def motion_energy(x: Tensor) -> Tensor:
    """Mean over time and joints of |x[t+1] - x[t]|: (N, C, T, V) -> (N, C), 0 for a single frame."""
    if x.shape[2] < 2:
        return x.new_zeros(x.shape[:2])
    return (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=(2, 3))


def band_power(x: Tensor) -> Tensor:
    """Mean power in the low, middle and high third of the temporal spectrum: (N, C, T, V) -> (N, 3*C).

    Orthonormal transform, so that power does not depend on T. A band without a bin, in clips of T < 4, has power 0.
    """
    spectrum = torch.view_as_real(torch.fft.rfft(x, dim=2, norm="ortho"))
    power = spectrum.square().sum(-1).mean(3)
    return torch.cat([band.sum(2) / max(band.shape[2], 1) for band in power.tensor_split(BANDS, dim=2)], dim=1)


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


class HybridGate(nn.Module):
    """Channel gate from motion energy and the power in three bands of the temporal spectrum, (N, C, T, V) -> same.

    Powers square the features, so the gate is computed in float32 throughout.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = bottleneck(channels)
        self.reduce = nn.Linear((1 + BANDS) * channels, hidden, bias=False)
        self.restore = nn.Linear(hidden, channels, bias=False)
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        with full_precision(x):
            wide = x.to(self.reduce.weight.dtype)
            described = torch.cat([motion_energy(wide), band_power(wide)], dim=1)
            gate = torch.sigmoid(self.restore(torch.relu(self.reduce(described))))
        return blend(x, x * gate.to(x.dtype)[:, :, None, None], self.alpha)


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
