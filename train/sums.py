"""Sums over an epoch's batches that stay on the device until somebody asks."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from last_edge.train.processes import Processes

NAMES = ("loss", "hits", "seen", "skipped", "overflow")


class EpochSums:
    """Double-precision sums by name. Adding never waits for the device; reading does, once for all of them."""

    def __init__(self, device: str) -> None:
        self.names: tuple[str, ...] = NAMES
        self.values = torch.zeros(len(NAMES), dtype=torch.float64, device=device)

    def add(self, **parts: Tensor | float) -> None:
        """Add to some of the sums; a name never met before starts at 0."""
        self._know(parts)
        for name, part in parts.items():
            self.values[self.names.index(name)] += part

    def add_all(self, other: EpochSums) -> None:
        """Add another set of sums to this one."""
        self._know(other.names)
        self.values[[self.names.index(name) for name in other.names]] += other.values

    def total(self, processes: Processes) -> dict[str, float]:
        """All sums, over all processes, as plain numbers."""
        return dict(zip(self.names, processes.sum(self.values).tolist(), strict=True))

    def write(self, totals: dict[str, float]) -> None:
        """Set the sums to saved ones; those not named become 0."""
        self._know(totals)
        self.values.copy_(torch.tensor([totals.get(name, 0.0) for name in self.names], dtype=torch.float64))

    def _know(self, names: Iterable[str]) -> None:
        """Make room for names that are not there yet."""
        new = tuple(name for name in names if name not in self.names)
        self.names += new
        self.values = torch.cat([self.values, self.values.new_zeros(len(new))]) if new else self.values
