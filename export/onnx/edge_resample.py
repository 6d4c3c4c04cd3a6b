"""A clip of any length at the graph's door: resampled to the model's window inside the graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.export.onnx.edge_modules import EdgeModel
from last_edge.inputs.spec import InputSpec


class EdgeResample(nn.Module):
    """Points (N, T', V, C) or (N, M, T', V, C), T' >= 1 -> the window that `inputs.fit_window` makes, T frames long.

    Linear between the first and the last frame of a clip that shows a point; where a neighbour is missing the nearer
    frame's point counts, missing or not.
    """

    steps: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.bodies = spec.bodies
        self.register_buffer("steps", torch.linspace(0.0, 1.0, spec.frames, dtype=torch.float64))

    def forward(self, points: Tensor) -> Tensor:
        """See the class."""
        frames = points if self.bodies == 1 else points.transpose(1, 2)
        known = torch.isnan(frames).any(-1).logical_not().flatten(2).any(-1).to(torch.int64)
        length = frames.shape[1]
        first, last = known.argmax(1), length - 1 - known.flip(1).argmax(1)
        positions = first[:, None] + self.steps * (last - first)[:, None]
        before = positions.floor()
        weight = positions - before
        at = before.to(torch.int64)
        after = (at + 1).clamp(max=length - 1)
        window = _blend(_pick(frames, at), _pick(frames, after), weight.to(points.dtype))
        return window if self.bodies == 1 else window.transpose(1, 2)


class AnyLength(nn.Module):
    """A model behind its resampling: points of any number of frames -> logits (N, K)."""

    def __init__(self, edge: EdgeModel, spec: InputSpec) -> None:
        super().__init__()
        self.resample, self.edge = EdgeResample(spec), edge

    def forward(self, landmarks: Tensor) -> Tensor:
        """See the class."""
        return self.edge(self.resample(landmarks))  # type: ignore[no-any-return]


def _blend(before: Tensor, after: Tensor, weight: Tensor) -> Tensor:
    """Two picks (N, T, ..., V, C) by weights (N, T) of the second."""
    share = weight.reshape(*weight.shape, *([1] * (before.dim() - 2)))
    mixed = before * (1 - share) + after * share
    nearer = torch.where(share < 0.5, before, after)
    return torch.where(torch.isnan(mixed).any(-1, keepdim=True), nearer, mixed)


def _pick(frames: Tensor, index: Tensor) -> Tensor:
    """Frames (N, T) of (N, T', ...) -> (N, T, ...)."""
    rows = torch.arange(index.shape[0])[:, None]
    return frames[rows, index]
