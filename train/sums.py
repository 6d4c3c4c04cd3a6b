"""Sums over an epoch's batches that stay on the device until somebody asks."""

from __future__ import annotations

import torch
from torch import Tensor

from last_edge.train.processes import Processes

NAMES = ("loss", "hits", "seen", "skipped", "overflow")


class EpochSums:
    """Double-precision sums by name. Adding never waits for the device; reading does, once for all of them."""

    def __init__(self, device: str) -> None:
        self.values = torch.zeros(len(NAMES), dtype=torch.float64, device=device)

    def add(self, **parts: Tensor | float) -> None:
        """Add to some of the sums."""
        for name, part in parts.items():
            self.values[NAMES.index(name)] += part

    def add_all(self, other: EpochSums) -> None:
        """Add another set of sums to this one."""
        self.values += other.values

    def total(self, processes: Processes) -> dict[str, float]:
        """All sums, over all processes, as plain numbers."""
        return dict(zip(NAMES, processes.sum(self.values).tolist(), strict=True))

    def write(self, totals: dict[str, float]) -> None:
        """Set the sums to saved ones; those not named become 0."""
        self.values.copy_(torch.tensor([totals.get(name, 0.0) for name in NAMES], dtype=torch.float64))
