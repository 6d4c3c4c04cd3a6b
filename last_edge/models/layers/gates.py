"""Input-dependent gates of LAST-E: motion energy, temporal spectrum, and joint space-time attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.models.layers.pointwise import Pointwise, channels_last
from last_edge.models.layers.precision import full_precision

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
    rows = channels_last(x)
    return (rows[:, 1:] - rows[:, :-1]).abs().mean(dim=(1, 2))


def band_power(x: Tensor) -> Tensor:
    """Mean power in the low, middle and high third of the temporal spectrum: (N, C, T, V) -> (N, 3*C).

    Orthonormal transform, so that power does not depend on T. A band without a bin, in clips of T < 4, has power 0.
    """
    spectrum = torch.view_as_real(torch.fft.rfft(x, dim=2, norm="ortho"))
    power = spectrum.square().sum(-1).mean(3)
    return torch.cat([band.sum(2) / max(band.shape[2], 1) for band in power.tensor_split(BANDS, dim=2)], dim=1)


def blend(x: Tensor, gate: Tensor, alpha: Tensor) -> Tensor:
    """x + alpha * (x * gate - x), as one product with x: alpha starts at 0, so a new gate changes nothing.

    gate: (N, T or 1, V or 1, C); alpha: (1, C, 1, 1).
    """
    factor = 1 + alpha.flatten() * (gate - 1)
    return (channels_last(x) * factor.to(x.dtype)).permute(0, 3, 1, 2)


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
        return blend(x, gate[:, None, None, :], self.alpha)


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
        return blend(x, gate[:, None, None, :], self.alpha)


class JointAttention(nn.Module):
    """ST_JointAtt: x times a temporal gate (N, C, T, 1) and a spatial gate (N, C, 1, V), blended in by alpha."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.temporal = _gate_branch(channels)
        self.spatial = _gate_branch(channels)
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> same."""
        rows = channels_last(x)
        over_time = torch.sigmoid(self.temporal(rows.mean(2, keepdim=True).permute(0, 3, 1, 2)))
        over_joints = torch.sigmoid(self.spatial(rows.mean(1, keepdim=True).permute(0, 3, 1, 2)))
        return blend(x, channels_last(over_time).contiguous() * channels_last(over_joints).contiguous(), self.alpha)


def _gate_branch(channels: int) -> nn.Sequential:
    hidden = bottleneck(channels)
    reduce, restore = Pointwise(channels, hidden), Pointwise(hidden, channels)
    return nn.Sequential(reduce, nn.BatchNorm2d(hidden), nn.ReLU(), restore)
