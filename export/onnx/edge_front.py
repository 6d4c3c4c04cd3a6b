"""The graph's door in its edge form: raw landmarks to streams in a handful of nodes, equal to `LandmarkFront`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.inputs.spec import InputSpec
from last_edge.inputs.transforms import SMALLEST_SCALE


class EdgeFront(nn.Module):
    """Points (N, T, V, C) or (N, M, T, V, C), NaN where missing -> streams (N, S*C, T, V) of body 0.

    bodies: how many are read; for more than one the streams are (N, M, S*C, T, V), centred and scaled by body 0.

    A NaN spreads through differences by itself, so one replacement at the end serves every stream; the shapes are
    constant but for the batch, so no node computes a shape.
    """

    earliest: Tensor
    following: Tensor
    parents: Tensor

    def __init__(self, spec: InputSpec, *, bodies: int = 1) -> None:
        super().__init__()
        self.spec, self.bodies = spec, bodies
        frames = spec.frames
        ramp = torch.arange(frames, 0, -1, dtype=torch.float32).reshape(1, 1, frames, 1)
        self.register_buffer("earliest", ramp)
        self.register_buffer("following", torch.arange(1, frames + 1).clamp(max=frames - 1))
        self.register_buffer("parents", torch.tensor(spec.layout.parents))

    def forward(self, points: Tensor) -> Tensor:
        """See the class."""
        read = points[:, 0] if self.spec.bodies > self.bodies else points
        joint = self._normalise(read.movedim(-1, -3))
        made = torch.cat([getattr(self, f"_{name}")(joint) for name in self.spec.streams], dim=-3)
        return torch.where(torch.isnan(made), 0.0, made)

    def _normalise(self, x: Tensor) -> Tensor:
        """(N, [M,] C, T, V) centred and scaled, still NaN where missing."""
        first = x if self.bodies == 1 else x[:, 0]
        centred = x if self.spec.centre == "none" else x - self._for_all(self._origin(first))
        unit = self._unit(first)
        return centred if unit is None else centred / self._for_all(unit)

    def _for_all(self, of_first: Tensor) -> Tensor:
        """What body 0 gives, in the shape of what is read."""
        return of_first if self.bodies == 1 else of_first[:, None]

    def _origin(self, x: Tensor) -> Tensor:
        """(N, C, 1 or T, 1) to subtract; 0 where the centre is never seen."""
        centre = _mean_of(x, self.spec.layout.centre)
        unknown = torch.isnan(centre.sum(dim=1, keepdim=True))
        centre = torch.where(unknown, 0.0, centre)
        if self.spec.centre == "frame":
            return centre
        score = torch.where(unknown, 0.0, self.earliest)
        first = score == score.amax(dim=2, keepdim=True)
        return torch.where(first, centre, 0.0).sum(dim=2, keepdim=True)

    def _unit(self, x: Tensor) -> Tensor | None:
        """(N, 1, 1 or T, 1) mean length of the scale limb over the frames that show it, else 1, or each frame's own."""
        if self.spec.scale == "none" or self.spec.layout.scale is None:
            return None
        one, other = (_mean_of(x, ends) for ends in self.spec.layout.scale)
        lengths = (one - other).square().sum(dim=1, keepdim=True).sqrt()
        known = torch.where(torch.isnan(lengths), 0.0, 1.0)
        total = torch.where(torch.isnan(lengths), 0.0, lengths).sum(dim=2, keepdim=True)
        mean = total / known.sum(dim=2, keepdim=True).clamp(min=1.0)
        unit = torch.where(mean > SMALLEST_SCALE, mean, 1.0)
        return torch.where(lengths > SMALLEST_SCALE, lengths, unit) if self.spec.scale == "frame" else unit

    def _joint(self, x: Tensor) -> Tensor:
        return x

    def _velocity(self, x: Tensor) -> Tensor:
        """J(t+1) - J(t); the last frame follows itself."""
        return torch.index_select(x, -2, self.following) - x

    def _bone(self, x: Tensor) -> Tensor:
        """J(child) - J(parent); a root is its own parent."""
        return x - torch.index_select(x, -1, self.parents)


def _mean_of(x: Tensor, joints: tuple[int, ...]) -> Tensor:
    """Mean of some joints of (N, C, T, V): (N, C, T, 1), NaN where one of them is missing."""
    parts = [x[..., joint : joint + 1] for joint in joints]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1).mean(dim=-1, keepdim=True)
