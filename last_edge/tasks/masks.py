"""Masks that hide whole body regions for whole blocks of frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.skeleton.graph import body_regions
from last_edge.skeleton.layout import Layout


class CellMasks(nn.Module):
    """A clip cut into cells, region by frame block. Cells are hidden whole, those of the highest priority first.

    Their number is the one that brings the hidden share of all T * V points nearest to `ratio`: it is off by at most
    half a cell. Frame t belongs to block floor(t * blocks / T).
    """

    def __init__(self, layout: Layout, *, frames: int, blocks: int, ratio: float) -> None:
        super().__init__()
        if blocks > frames:
            raise UsageError("pretrain.blocks is more than there are frames", expected=f"<= {frames}", got=blocks)
        regions = list(body_regions(layout).values())
        place = {joint: number for number, joints in enumerate(regions) for joint in joints}
        self.ratio, self.count = ratio, (len(regions), blocks)
        self.region: Tensor
        self.block: Tensor
        self.size: Tensor
        self.register_buffer("region", torch.tensor([place[joint] for joint in range(layout.joints)]), persistent=False)
        self.register_buffer("block", torch.arange(frames) * blocks // frames, persistent=False)
        lengths = torch.bincount(self.block, minlength=blocks)
        sizes = torch.tensor([len(joints) for joints in regions])[:, None] * lengths
        self.register_buffer("size", sizes.float(), persistent=False)

    def forward(self, priority: Tensor) -> Tensor:
        """Priorities (N, R, B) of the cells -> (N, T, V) bool, true where a point is hidden."""
        order = priority.flatten(1).argsort(dim=1, descending=True)
        sizes = self.size.flatten()[order]
        taken = sizes.cumsum(1) - sizes / 2 <= self.ratio * self.size.sum()
        chosen = torch.zeros_like(taken).scatter(1, order, taken).reshape(-1, *self.count)
        return chosen[:, self.region][:, :, self.block].transpose(1, 2)

    def at_random(self, count: int) -> Tensor:
        """(count, R, B) priorities that give every cell the same chance."""
        return torch.rand((count, *self.count), device=self.size.device)

    def by_saliency(self, saliency: Tensor) -> Tensor:
        """(N, T, V) saliency, none below 0 -> (N, R, B) priorities that draw cells without replacement.

        A cell's chance is in proportion to the mean saliency of its points: Gumbel noise on the logarithm, the highest
        first (Kool et al. 2019, section 2.3).
        """
        by_block = torch.zeros(len(saliency), self.count[1], saliency.shape[2], device=saliency.device)
        by_block.index_add_(1, self.block, saliency)
        cells = torch.zeros(len(saliency), *self.count, device=saliency.device)
        cells.index_add_(1, self.region, by_block.transpose(1, 2))
        chance = torch.log(cells / self.size + torch.finfo(torch.float32).tiny)
        return chance - torch.log(-torch.log(torch.rand_like(chance).clamp(min=1e-20)))
