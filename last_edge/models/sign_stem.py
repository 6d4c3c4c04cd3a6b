"""From frames to the tokens of a sequence encoder: a linear map, or convolutions that halve the rate."""

from __future__ import annotations

from torch import Tensor, nn

KERNEL = 5


class FrameStem(nn.Module):
    """Frames (N, T, F), 0 where nothing is shown, and shown (N, T) 1 or 0 -> tokens (N, S, D) and keep (N, S).

    S is T / stride, rounded up. What follows the last frame counts as zeros, be it padding or the end of the tensor.
    """

    def __init__(self, features: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        if stride == 1:
            self.embed: nn.Module = nn.Linear(features, width)
            self.halve = nn.ModuleList()
            return
        sizes = [features, *([width] * (stride.bit_length() - 1))]
        self.halve = nn.ModuleList(
            nn.Conv1d(before, after, KERNEL, stride=2, padding=KERNEL // 2)
            for before, after in zip(sizes, sizes[1:], strict=False)
        )
        self.embed = nn.Identity()

    def forward(self, frames: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        x, keep = frames.transpose(1, 2), shown
        for number, half in enumerate(self.halve):
            pair = nn.functional.pad(keep, (0, 1))[:, None, None]  # in two dimensions, which exports with any length
            keep = nn.functional.max_pool2d(pair, (1, 2))[:, 0, 0]
            x = half(nn.functional.gelu(x) if number else x) * keep[:, None]
        return self.embed(x.transpose(1, 2)), keep
