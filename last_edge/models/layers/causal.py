"""Layers that look back only, each with the state that carries it from one frame to the next."""

from typing import Self

import torch
from torch import Tensor, nn

from last_edge.models.layers.folding import conv_bn
from last_edge.models.layers.pointwise import Pointwise, channels_last


class CausalDepthwise(nn.Conv2d):
    """Each channel's own filter over `taps` frames, `dilation` apart, that ends at the frame it answers for.

    (N, C, T, 1) and the `reach` frames before them, (N, C, reach, 1), -> (N, C, T, 1) and the last `reach` frames.
    """

    def __init__(self, channels: int, *, taps: int, dilation: int) -> None:
        super().__init__(channels, channels, (taps, 1), dilation=(dilation, 1), groups=channels, bias=False)

    @property
    def reach(self) -> int:
        """Frames before the newest that its answer depends on, which are its state."""
        return (self.kernel_size[0] - 1) * self.dilation[0]

    def step(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        window = torch.cat([before, x], dim=2)
        filtered = self._by_taps(window, x.shape[2]) if self.training else self(window)
        return filtered, window[:, :, window.shape[2] - self.reach :]

    def _by_taps(self, window: Tensor, frames: int) -> Tensor:
        """The same, a product a tap: on a processor the backward pass of a dilated depthwise convolution is slower."""
        rows, step = channels_last(window), self.dilation[0]
        by_tap = self.weight[:, 0, :, 0].t()
        parts = [by_tap[tap] * rows[:, tap * step : tap * step + frames] for tap in range(len(by_tap))]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total.permute(0, 3, 1, 2)


class CausalBlock(nn.Module):
    """Depthwise over past frames, norm, expand, ReLU, project, norm, plus skip: (N, C, T, 1) -> the same shape.

    `EpSepTCN` made causal, with its filter before the wide part, so that the state is as narrow as the map.
    """

    def __init__(self, channels: int, *, hidden: int, taps: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.depthwise = CausalDepthwise(channels, taps=taps, dilation=dilation)
        self.depthwise_bn: nn.Module = nn.BatchNorm2d(channels)
        self.expand: nn.Conv2d = Pointwise(channels, hidden)
        self.expand_bn: nn.Module = nn.BatchNorm2d(hidden)
        self.project: nn.Conv2d = Pointwise(hidden, channels)
        self.project_bn: nn.Module = nn.BatchNorm2d(channels)
        self.dropout: nn.Module = nn.Dropout2d(dropout)

    def step(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """The map, and the frames that the next call needs; see `CausalDepthwise`."""
        y, after = self.depthwise.step(x, before)
        y = torch.relu(self.expand_bn(self.expand(self.depthwise_bn(y))))
        return x + self.project_bn(self.project(self.dropout(y))), after

    def deployed(self) -> Self:
        """Itself, the norms folded into the convolutions before them."""
        state = self.depthwise
        folded = conv_bn(state, self.depthwise_bn)
        made = CausalDepthwise(state.in_channels, taps=state.kernel_size[0], dilation=state.dilation[0])
        made.weight, made.bias = folded.weight, folded.bias
        self.depthwise, self.depthwise_bn = made.eval(), nn.Identity()
        self.expand, self.expand_bn = conv_bn(self.expand, self.expand_bn), nn.Identity()
        self.project, self.project_bn = conv_bn(self.project, self.project_bn), nn.Identity()
        self.dropout = nn.Identity()
        return self


class RunningMeans(nn.Module):
    """Exponential means of numbers that are known now and then, from what has been seen so far.

    Values (N, T, F), 1 where known (N, T, F) and 1 where anything is seen (N, T, 1) -> means (N, T, F), 0 where nothing
    was known yet. memory: frames that each number's mean looks back. patience: unseen frames in a row after which all
    is forgotten. State (N, 2F + 1): weighted sums, weights in 0..1 and unseen frames, at most `patience`.
    """

    share: Tensor

    def __init__(self, memory: tuple[float, ...], *, patience: int) -> None:
        super().__init__()
        self.register_buffer("share", 1.0 / torch.tensor(memory), persistent=False)
        self.patience = patience

    @property
    def width(self) -> int:
        """Numbers of the state."""
        return 2 * len(self.share) + 1

    def step(self, values: Tensor, known: Tensor, seen: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Means and the state after the last frame."""
        count = len(self.share)
        total, weight, unseen = before.split([count, count, 1], dim=1)  # type: ignore[no-untyped-call]
        means = []
        for frame in range(values.shape[1]):
            unseen = ((unseen + 1.0) * (1.0 - seen[:, frame])).clamp(max=float(self.patience))
            kept = (unseen < self.patience).to(values.dtype)
            share = self.share * known[:, frame]
            total = kept * (total + share * (values[:, frame] - total))
            weight = kept * (weight + share * (1.0 - weight))
            means.append(total / weight.clamp(min=1e-6))
        return torch.stack(means, dim=1), torch.cat([total, weight, unseen], dim=1)
