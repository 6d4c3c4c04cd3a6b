"""Input-dependent gates of LAST-E: motion energy, temporal spectrum, and joint space-time attention.

Deployed, what they multiply a feature map with is drawn into one factor an entry.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.models.layers.attention import full_precision
from last_edge.models.layers.folding import conv_bn, conv_like
from last_edge.models.layers.pointwise import Pointwise, channels_last

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

    def __init__(self, channels: int, *, read: int | None = None) -> None:
        super().__init__()
        hidden = bottleneck(channels)
        self.reduce = nn.Linear(channels if read is None else read, hidden, bias=False)
        self.restore = nn.Linear(hidden, channels, bias=False)
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return blend(x, self.gate(motion_energy(x)), self.alpha)

    def gate(self, described: Tensor) -> Tensor:
        """What it reads of a map, (N, D), `read` numbers -> (N, 1, 1, C)."""
        return torch.sigmoid(self.restore(torch.relu(self.reduce(described))))[:, None, None, :]

    def deployed(self, frames: int) -> EdgeMotionGate:
        """As one factor a channel; frames: T."""
        return EdgeMotionGate(self)


class HybridGate(MotionGate):
    """Channel gate from motion energy and the power in three bands of the temporal spectrum, (N, C, T, V) -> same.

    Powers square the features, so the gate is computed in float32 throughout.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, read=(1 + BANDS) * channels)

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            wide = x.to(self.reduce.weight.dtype)
            gate = self.gate(torch.cat([motion_energy(wide), band_power(wide)], dim=1))
        return blend(x, gate, self.alpha)

    def deployed(self, frames: int) -> EdgeHybridGate:
        """As one factor a channel; frames: T, which the constant Fourier transform depends on."""
        return EdgeHybridGate(self, frames=frames)


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

    def deployed(self) -> EdgeJointGate:
        """As one product of rows and columns, the branches' norms folded."""
        branches = (_folded_branch(branch) for branch in (self.temporal, self.spatial))
        return EdgeJointGate(*branches, alpha=self.alpha.data)


def _gate_branch(channels: int) -> nn.Sequential:
    hidden = bottleneck(channels)
    reduce, restore = Pointwise(channels, hidden), Pointwise(hidden, channels)
    return nn.Sequential(reduce, nn.BatchNorm2d(hidden), nn.ReLU(), restore)


def _folded_branch(branch: nn.Sequential) -> nn.Sequential:
    """The branch with its norm folded."""
    reduce, norm, act, restore = branch
    assert isinstance(reduce, nn.Conv2d) and isinstance(restore, nn.Conv2d)
    return nn.Sequential(conv_bn(reduce, norm), act, conv_like(restore, weight=restore.weight, bias=restore.bias))


class EdgeMotionGate(nn.Module):
    """(N, C, T, V) -> one factor a channel (N, C, 1, 1): 1 - alpha + alpha * g, g read from motion energy."""

    alpha: Tensor
    rest: Tensor

    def __init__(self, gate: MotionGate) -> None:
        super().__init__()
        self.reduce, self.restore = gate.reduce, gate.restore
        alpha = gate.alpha.data.flatten(1)
        self.register_buffer("alpha", alpha)
        self.register_buffer("rest", 1.0 - alpha)

    def describe(self, x: Tensor) -> Tensor:
        """What the gate reads, (N, C, T, V) -> (N, D); of a single frame nothing moves."""
        if x.shape[2] < 2:
            return x.mean(dim=(2, 3)) * 0.0
        return (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.restore(torch.relu(self.reduce(self.describe(x)))))
        return (self.rest + self.alpha * gate)[:, :, None, None]


class EdgeHybridGate(EdgeMotionGate):
    """The motion gate that also reads the mean power in bands of the spectrum of T frames (`band_power`).

    The Fourier transform is one constant matrix.
    """

    transform: Tensor

    def __init__(self, gate: HybridGate, *, frames: int) -> None:
        super().__init__(gate)
        # Rows of the orthonormal transform, real and imaginary, whose squares add up to a band's mean power.
        spectrum = torch.fft.rfft(torch.eye(frames, dtype=torch.float64), dim=0, norm="ortho")
        bands = [
            torch.cat([band.real, band.imag]) / max(len(band), 1) ** 0.5 for band in spectrum.tensor_split(BANDS, dim=0)
        ]
        self.rows = [len(rows) for rows in bands]
        self.register_buffer("transform", torch.cat(bands))

    def describe(self, x: Tensor) -> Tensor:
        """Motion energy and powers: (N, C, T, V) -> (N, 4*C)."""
        power = torch.matmul(self.transform, x).square().mean(3)
        bands = [band.sum(2) for band in torch.split(power, self.rows, dim=2)]
        return torch.cat([super().describe(x), *bands], dim=1)


class EdgeJointGate(nn.Module):
    """Factors (N, C, T, V) of joint attention, 1 - alpha + alpha * a_t * a_v, as products of (T, 2) and (2, V).

    The two rows are [alpha a_v, 1 - alpha], the two columns [a_t, 1]: one product does what three broadcasts would.
    """

    mixing: Tensor

    def __init__(self, temporal: nn.Module, spatial: nn.Module, *, alpha: Tensor) -> None:
        super().__init__()
        self.temporal, self.spatial = temporal, spatial
        self.register_buffer("mixing", torch.cat([alpha, 1.0 - alpha], dim=2))

    def forward(self, over_joints: Tensor, over_time: Tensor, factor: Tensor | None) -> Tensor:
        """Means over the joints (N, C, 1, T) and over time (N, C, 1, V) of a map, and a factor a channel for it."""
        if factor is not None:
            over_joints, over_time = over_joints * factor, over_time * factor
        columns = _with_ones(torch.sigmoid(self.temporal(over_joints)))
        rows = _with_ones(torch.sigmoid(self.spatial(over_time)))
        mixing = self.mixing if factor is None else self.mixing * factor
        return torch.matmul(columns.transpose(2, 3), rows * mixing)


def _with_ones(row: Tensor) -> Tensor:
    """(N, C, 1, L) -> (N, C, 2, L), ones below."""
    return nn.functional.pad(row, (0, 0, 0, 1), value=1.0)


class EdgeGates(nn.Module):
    """A map times its channel gate and its joint attention, (N, C, T, V) -> same, in one product with the map.

    The joint attention reads the gated map's means, which are the map's own times the channel gate.
    """

    def __init__(self, *, channel: EdgeMotionGate | None, joint: EdgeJointGate | None) -> None:
        super().__init__()
        self.channel, self.joint = channel, joint

    def forward(self, x: Tensor) -> Tensor:
        factor = None if self.channel is None else self.channel(x)
        if self.joint is not None:
            factor = self.joint(x.mean(3)[:, :, None], x.mean(2, keepdim=True), factor)
        return x if factor is None else x * factor
