"""Several bodies in one clip: which of them are there, and one answer out of all."""

from __future__ import annotations

import torch
from torch import Tensor

BODIES = ("first", "mean", "max")


def present_bodies(streams: Tensor) -> Tensor:
    """(N, M) bool of streams (N, M, S*C, T, V): bodies with any value other than 0; the first where there is none.

    The front leaves 0 for what is missing, so a body without a single point is 0 throughout.
    """
    present = (streams != 0).flatten(2).any(2)
    first = torch.arange(present.shape[1], device=present.device) == 0
    return present | (first & ~present.any(1, keepdim=True))


def merge_bodies(values: Tensor, present: Tensor, how: str) -> Tensor:
    """Values (N, M, C) of the present bodies (N, M) -> their `mean` or `max`, or those of the `first` slot, (N, C)."""
    if how == "first":
        return values[:, 0]
    if how == "max":
        return values.masked_fill(~present[..., None], -torch.inf).amax(1)
    weight = present.to(values.dtype)[..., None]
    return (values * weight).sum(1) / weight.sum(1)


def merge_maps(maps: Tensor, present: Tensor) -> Tensor:
    """Feature maps (N*M, C, T, V) of bodies, those present told by (N, M) -> their mean (N, C, T, V)."""
    by_body = maps.reshape(*present.shape, *maps.shape[1:])
    return merge_bodies(by_body.flatten(2), present, "mean").reshape(len(present), *maps.shape[1:])
