"""The edge form of the gate that reads the temporal spectrum: the Fourier transform as one constant matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.export.edge_modules import EdgeMotionGate
from last_edge.models.blocks.gates import BANDS


class EdgeHybridGate(EdgeMotionGate):
    """The motion gate that also reads the mean power in bands of the spectrum of T frames (`gates.band_power`)."""

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
