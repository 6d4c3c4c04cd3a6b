"""The graph's door: raw landmarks to streams. Torch twin of `last_edge.inputs.transforms`; a test holds both equal."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.inputs.spec import InputSpec
from last_edge.inputs.transforms import SMALLEST_SCALE


class LandmarkFront(nn.Module):
    """Points (N, T, V, C), or (N, M, T, V, C) for several bodies, NaN where missing -> streams (N, [M,] S*C, T, V).

    Body 0's centre and scale serve every body, so two people keep their distance. No NaN leaves this module.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, points: Tensor) -> Tensor:
        """See the class."""
        return self.streams(*self.normalised(points))

    def normalised(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Points centred and scaled, 0 where missing, and 1 where they were seen; both in the shape of `points`."""
        missing = torch.isnan(points)
        filled = points.masked_fill(missing, 0.0)
        seen = (~missing).to(points.dtype)
        return self._normalise(filled, seen) * seen, seen

    def streams(self, joint: Tensor, seen: Tensor) -> Tensor:
        """Streams (N, [M,] S*C, T, V) of normalised points (N, [M,] T, V, C), missing where `seen` is 0."""
        made = [getattr(self, f"_{name}")(joint, seen) for name in self.spec.streams]
        return torch.cat(made, dim=-1).movedim(-1, -3)

    def _normalise(self, filled: Tensor, seen: Tensor) -> Tensor:
        first_body = (filled, seen) if self.spec.bodies == 1 else (filled[:, 0], seen[:, 0])
        shift, unit = self._origin(*first_body), self._unit(*first_body)
        if self.spec.bodies > 1:
            shift = None if shift is None else shift.unsqueeze(1)
            unit = None if unit is None else unit.unsqueeze(1)
        centred = filled if shift is None else filled - shift
        return centred if unit is None else centred / unit

    def _origin(self, filled: Tensor, seen: Tensor) -> Tensor | None:
        """(N, 1 or T, 1, C) to subtract; 0 where the centre is never seen; None when nothing is centred."""
        if self.spec.centre == "none":
            return None
        joints = list(self.spec.layout.centre)
        known = seen[:, :, joints].amin(dim=(2, 3), keepdim=True)
        centre = filled[:, :, joints].mean(dim=2, keepdim=True) * known
        if self.spec.centre == "frame":
            return centre
        first = known.argmax(dim=1, keepdim=True).expand(-1, 1, 1, centre.shape[-1])
        return centre.gather(1, first)

    def _unit(self, filled: Tensor, seen: Tensor) -> Tensor | None:
        """(N, 1 or T, 1, 1) mean length of the scale limb where it is seen, else 1, or each frame's own.

        None when nothing is scaled.
        """
        if self.spec.scale == "none" or self.spec.layout.scale is None:
            return None
        one, other = (list(ends) for ends in self.spec.layout.scale)
        known = seen[:, :, one + other].amin(dim=(2, 3), keepdim=True)
        limb = filled[:, :, one].mean(dim=2, keepdim=True) - filled[:, :, other].mean(dim=2, keepdim=True)
        lengths = limb.square().sum(dim=-1, keepdim=True).sqrt() * known
        mean = lengths.sum(dim=1, keepdim=True) / known.sum(dim=1, keepdim=True).clamp(min=1.0)
        unit = torch.where(mean > SMALLEST_SCALE, mean, torch.ones_like(mean))
        return torch.where(lengths > SMALLEST_SCALE, lengths, unit) if self.spec.scale == "frame" else unit

    def _joint(self, joint: Tensor, seen: Tensor) -> Tensor:
        return joint

    def _velocity(self, joint: Tensor, seen: Tensor) -> Tensor:
        """J(t+1) - J(t) where both are seen; 0 in the last frame."""
        after, before = joint[..., 1:, :, :], joint[..., :-1, :, :]
        step = (after - before) * seen[..., 1:, :, :] * seen[..., :-1, :, :]
        return torch.cat([step, torch.zeros_like(joint[..., :1, :, :])], dim=-3)

    def _bone(self, joint: Tensor, seen: Tensor) -> Tensor:
        """J(child) - J(parent) where both are seen; a root is its own parent and gets 0."""
        parents = list(self.spec.layout.parents)
        return (joint - joint[..., parents, :]) * seen * seen[..., parents, :]


def fit_window(points: Tensor, frames: int) -> Tensor:
    """Torch twin of `inputs.fit_window` on a batch (N, M, T', V, C) of equal length -> (N, M, frames, V, C)."""
    seen = (~torch.isnan(points).any(-1)).flatten(3).any(-1).any(1).to(torch.int64)
    length = points.shape[2]
    first = seen.argmax(1)
    last = length - 1 - seen.flip(1).argmax(1)
    steps = torch.linspace(0.0, 1.0, frames, dtype=torch.float64, device=points.device)
    positions = first[:, None] + steps[None, :] * (last - first)[:, None]
    before = positions.floor().long()
    after = (before + 1).clamp(max=length - 1)
    weight = (positions - before).to(points.dtype)[:, None, :, None, None]
    blend = _frames(points, before) * (1 - weight) + _frames(points, after) * weight
    nearer = _frames(points, torch.where(positions - before < 0.5, before, after))
    return torch.where(torch.isnan(blend).any(-1, keepdim=True), nearer, blend)


def _frames(points: Tensor, index: Tensor) -> Tensor:
    """Pick frames (N, T) from points (N, M, T', V, C)."""
    shape = (points.shape[0], points.shape[1], index.shape[1], *points.shape[3:])
    return points.gather(2, index[:, None, :, None, None].expand(shape))
