"""Raw landmarks to streams, the first operations of every model and of every exported graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.inputs.spec import InputSpec

SMALLEST_SCALE = 1e-6


class LandmarkFront(nn.Module):
    """Points (N, T, V, C), or (N, M, T, V, C) for several bodies, NaN where missing -> streams (N, [M,] S*C, T, V).

    bodies: how many are read, all when None; one gives streams (N, S*C, T, V). Body 0's centre and scale serve every
    body, so two people keep their distance. A NaN spreads through differences by itself, so one replacement at the end
    serves every stream, and none leaves this module. All shapes but the batch's are constant where clips are resampled
    to a window, so that an exported graph computes no shape.
    """

    earliest: Tensor
    following: Tensor
    parents: Tensor

    def __init__(self, spec: InputSpec, *, bodies: int | None = None) -> None:
        super().__init__()
        self.spec, self.bodies = spec, spec.bodies if bodies is None else bodies
        self.register_buffer("earliest", _falling(spec.frames), persistent=False)
        self.register_buffer("following", _following(spec.frames), persistent=False)
        self.register_buffer("parents", torch.tensor(spec.layout.parents), persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        read = points[:, 0] if self.spec.bodies > self.bodies else points
        return self._streams(self._normalise(read.movedim(-1, -3)))

    def normalised(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Points centred and scaled, 0 where missing, and 1 where they were seen; both in the shape of `points`."""
        missing = torch.isnan(points)
        joint = self._normalise(points.movedim(-1, -3)).movedim(-3, -1)
        return joint.masked_fill(missing, 0.0), (~missing).to(points.dtype)

    def streams(self, joint: Tensor, seen: Tensor) -> Tensor:
        """Streams (N, [M,] S*C, T, V) of normalised points (N, [M,] T, V, C), missing where `seen` is 0."""
        return self._streams(torch.where(seen > 0, joint, torch.nan).movedim(-1, -3))

    def _streams(self, joint: Tensor) -> Tensor:
        """Of normalised points (N, [M,] C, T, V); channels last in memory, as the first convolution reads them."""
        made = torch.cat([getattr(self, f"_{name}")(joint) for name in self.spec.streams], dim=-3)
        return torch.where(torch.isnan(made), 0.0, made).movedim(-3, -1).contiguous().movedim(-1, -3)

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
        earliest = _falling(x.shape[2], x.device) if self.spec.resample == "pad" else self.earliest
        score = torch.where(unknown, 0.0, earliest)
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
        following = _following(x.shape[-2], x.device) if self.spec.resample == "pad" else self.following
        return torch.index_select(x, -2, following) - x

    def _bone(self, x: Tensor) -> Tensor:
        """J(child) - J(parent); a root is its own parent."""
        return x - torch.index_select(x, -1, self.parents)


def _falling(frames: int, device: torch.device | None = None) -> Tensor:
    """(1, 1, T, 1): T for the first frame, 1 for the last."""
    return torch.arange(frames, 0, -1, dtype=torch.float32, device=device)[None, None, :, None]


def _following(frames: int, device: torch.device | None = None) -> Tensor:
    """(T,): the number of the frame after each, of the last its own."""
    return torch.arange(1, frames + 1, device=device).clamp(max=frames - 1)


def _mean_of(x: Tensor, joints: tuple[int, ...]) -> Tensor:
    """Mean of some joints of (N, C, T, V): (N, C, T, 1), NaN where one of them is missing."""
    parts = [x[..., joint : joint + 1] for joint in joints]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1).mean(dim=-1, keepdim=True)


class Resample(nn.Module):
    """Points (N, [M,] T', V, C) of any length -> the window of T frames that a specification takes."""

    steps: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.register_buffer("steps", torch.linspace(0.0, 1.0, spec.frames, dtype=torch.float64))

    def forward(self, points: Tensor) -> Tensor:
        return _resampled(points, self.steps)


def fit_window(points: Tensor, frames: int) -> Tensor:
    """Points (N, [M,] T', V, C), T' >= 1 -> (N, [M,] frames, V, C), as the numpy `inputs.fit_window` makes them.

    Linear between the first and the last frame of a clip that shows a point; where a neighbour is missing the nearer
    frame's point counts, missing or not.
    """
    return _resampled(points, torch.linspace(0.0, 1.0, frames, dtype=torch.float64, device=points.device))


def _resampled(points: Tensor, steps: Tensor) -> Tensor:
    """See `fit_window`; steps: (frames,) from 0 to 1."""
    frames = points if points.dim() == 4 else points.transpose(1, 2)
    known = torch.isnan(frames).any(-1).logical_not().flatten(2).any(-1).to(torch.int64)
    length = frames.shape[1]
    first, last = known.argmax(1), length - 1 - known.flip(1).argmax(1)
    positions = first[:, None] + steps * (last - first)[:, None]
    before = positions.floor()
    weight = (positions - before).to(points.dtype)
    at = before.to(torch.int64)
    after = (at + 1).clamp(max=length - 1)
    rows = torch.arange(at.shape[0], device=points.device)[:, None]
    window = between_frames(frames[rows, at], frames[rows, after], weight)
    return window if points.dim() == 4 else window.transpose(1, 2)


def between_frames(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Points (N, T, ..., V, C) between those of two frames by weights (N, T) of the second.

    Where one of the two is missing the nearer frame's point counts, missing or not. Torch twin of `sample_at`.
    """
    share = weight.reshape(*weight.shape, *([1] * (one.dim() - 2)))
    mixed = one * (1 - share) + other * share
    nearer = torch.where(share < 0.5, one, other)
    return torch.where(torch.isnan(mixed).any(-1, keepdim=True), nearer, mixed)
