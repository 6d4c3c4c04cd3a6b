"""The edge form of LAST-E's gates: what they multiply a feature map with, drawn into one factor an entry."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.models.layers.gates import BANDS


class EdgeMotionGate(nn.Module):
    """(N, C, T, V) -> one factor a channel (N, C, 1, 1): 1 - alpha + alpha * g, g read from motion energy."""

    alpha: Tensor
    rest: Tensor

    def __init__(self, *, reduce: nn.Linear, restore: nn.Linear, alpha: Tensor) -> None:
        super().__init__()
        self.reduce, self.restore = reduce, restore
        self.register_buffer("alpha", alpha.flatten(1))
        self.register_buffer("rest", 1.0 - alpha.flatten(1))

    def describe(self, x: Tensor) -> Tensor:
        """What the gate reads, (N, C, T, V) -> (N, D); of a single frame nothing moves."""
        if x.shape[2] < 2:
            return x.mean(dim=(2, 3)) * 0.0
        return (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        gate = torch.sigmoid(self.restore(torch.relu(self.reduce(self.describe(x)))))
        return (self.rest + self.alpha * gate)[:, :, None, None]


class EdgeHybridGate(EdgeMotionGate):
    """The motion gate that also reads the mean power in bands of the spectrum of T frames (`gates.band_power`).

    The Fourier transform is one constant matrix.
    """

    transform: Tensor

    def __init__(self, *, reduce: nn.Linear, restore: nn.Linear, alpha: Tensor, frames: int) -> None:
        super().__init__(reduce=reduce, restore=restore, alpha=alpha)
        bands = band_rows(frames)
        self.rows = [len(rows) for rows in bands]
        self.register_buffer("transform", torch.cat(bands))

    def describe(self, x: Tensor) -> Tensor:
        """Motion energy and powers: (N, C, T, V) -> (N, 4*C)."""
        power = torch.matmul(self.transform, x).square().mean(3)
        bands = [band.sum(2) for band in torch.split(power, self.rows, dim=2)]
        return torch.cat([super().describe(x), *bands], dim=1)


def band_rows(frames: int) -> list[Tensor]:
    """Rows (F_b, T) of the orthonormal transform, real and imaginary, scaled so that squares add up to mean power."""
    spectrum = torch.fft.rfft(torch.eye(frames, dtype=torch.float64), dim=0, norm="ortho")
    return [
        torch.cat([band.real, band.imag]) / max(len(band), 1) ** 0.5 for band in spectrum.tensor_split(BANDS, dim=0)
    ]


class EdgeJointGate(nn.Module):
    """Factors (N, C, T, V) of joint attention, 1 - alpha + alpha * a_t * a_v, as products of (T, 2) and (2, V).

    The two rows are [alpha a_v, 1 - alpha], the two columns [a_t, 1]: one product does what three broadcasts would.
    """

    mixing: Tensor

    def __init__(self, *, temporal: nn.Module, spatial: nn.Module, alpha: Tensor) -> None:
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
        """See the class."""
        factor = None if self.channel is None else self.channel(x)
        if self.joint is not None:
            factor = self.joint(x.mean(3)[:, :, None], x.mean(2, keepdim=True), factor)
        return x if factor is None else x * factor
