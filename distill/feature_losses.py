"""Losses on feature maps (N, C, T, V) of a student's and a teacher's stage, in float32, mean over the batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.models.layers.precision import full_precision

SMALLEST_LENGTH = 1e-6


def aligned(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps in float32 on one grid: frames averaged down to the smaller number, joints to one where they differ.

    A window that is no multiple of the other is averaged over bins that overlap by a frame.
    """
    frames = min(student.shape[2], teacher.shape[2])
    joints = student.shape[3] if student.shape[3] == teacher.shape[3] else 1
    return _pooled(student.float(), frames, joints), _pooled(teacher.float(), frames, joints)


def _pooled(x: Tensor, frames: int, joints: int) -> Tensor:
    return x if x.shape[2:] == (frames, joints) else nn.functional.adaptive_avg_pool2d(x, (frames, joints))


def feature_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of maps of equal width (Romero et al. 2015, eq. 3, as a mean over all values)."""
    return nn.functional.mse_loss(*aligned(student, teacher))


def attention_transfer(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of attention maps, sums of squares over the channels brought to length 1.

    Zagoruyko & Komodakis 2017, eq. 2 with p = 2; the distance is squared, so that it has a gradient where both agree.
    Widths may differ.
    """
    got, taught = (nn.functional.normalize(x.square().mean(1).flatten(1)) for x in aligned(student, teacher))
    return (got - taught).square().sum(1).mean()


def relational_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss of the distances between clips, each in units of its batch's mean distance (Park et al. 2019, eq. 6).

    A clip is its map's mean over time and joints; mean over all pairs of two clips. Widths may differ.
    """
    got, taught = (_relative_distances(_clips(x)) for x in (student, teacher))
    return nn.functional.smooth_l1_loss(got, taught)


def relational_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss of the cosines of the angles that three clips make (Park et al. 2019, eq. 8).

    A clip is its map's mean over time and joints; mean over all triplets of three clips. Widths may differ.
    """
    with full_precision(student):
        got, taught = (_cosines(_clips(x)) for x in (student, teacher))
    count = len(got)
    apart = ~torch.eye(count, dtype=torch.bool, device=got.device)
    distinct = apart[:, :, None] & apart[:, None, :] & apart[None]
    each = nn.functional.smooth_l1_loss(got, taught, reduction="none")
    return (each * distinct).sum() / max(count * (count - 1) * (count - 2), 1)


def _clips(x: Tensor) -> Tensor:
    """(N, C, T, V) -> (N, C)."""
    return x.float().mean(dim=(2, 3))


def _relative_distances(clips: Tensor) -> Tensor:
    """Clips (N, C) -> distances of all pairs of two, divided by their mean."""
    one, other = torch.triu_indices(len(clips), len(clips), offset=1, device=clips.device)
    lengths = (clips[one] - clips[other]).square().sum(1).clamp(min=SMALLEST_LENGTH**2).sqrt()
    return lengths / lengths.mean()


def _cosines(clips: Tensor) -> Tensor:
    """Clips (N, C) -> (N, N, N): at [j, i, k] the cosine of the angle at clip j between clips i and k."""
    directions = nn.functional.normalize(clips[None] - clips[:, None], dim=2, eps=SMALLEST_LENGTH)
    return directions @ directions.mT
