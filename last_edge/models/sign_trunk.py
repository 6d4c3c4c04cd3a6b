"""A recogniser's trunk as the eye of a translator: what it sees of each stretch of a sentence, pooled over joints."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Self

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.inputs.spec import InputSpec
from last_edge.models.last_body import LastBody
from last_edge.models.registry import create_model


class TrunkTokens(nn.Module):
    """Points (N, T, V, C), NaN where missing -> tokens (N, S, F) and keep (N, S), 1 where one's frames show a point.

    The clip is cut into stretches of `frames`, each normalised by itself, as the recogniser was taught; what follows
    the clip's end is missing points, so that padding changes nothing. Batch norms and dropout are as in use, always.
    Raises `UsageError` for a recogniser without stages of LAST blocks.
    """

    def __init__(self, spec: InputSpec, name: str, options: dict[str, Any], *, frames: int) -> None:
        super().__init__()
        model = create_model(name, spec=dataclasses.replace(spec, frames=frames), classes=1, **options)
        if not isinstance(model.body, LastBody):
            raise UsageError(f"{name} has no trunk for a translator", expected="last_e_* or last_lite_*")
        self.front, self.body, self.frames = model.front, model.body, frames
        self.rate = math.prod(model.body.options.strides)
        if frames < self.rate or frames % self.rate:
            raise UsageError("model option trunk_frames", expected=f"a multiple of {self.rate}", got=frames)
        self.width = model.body.options.widths[-1]
        self.body.head = nn.Identity()  # type: ignore[assignment]
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stays as in use."""
        return super().train(False)

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        streams, keep = self.streams(points)
        return self.tokens(streams, clips=len(points)), keep

    def streams(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Streams of every stretch (N * W, S*C, frames, V), and keep of the tokens that they give."""
        clips, length = points.shape[:2]
        stretches = (length + self.frames - 1) // self.frames
        spare = torch.full_like(points[:, :1], torch.nan).expand(-1, self.frames, -1, -1)
        whole = torch.cat([points, spare], dim=1)[:, : stretches * self.frames]
        shown = (~torch.isnan(whole)).to(points.dtype).amin(dim=-1).amax(dim=-1)
        keep = shown.reshape(clips, -1, self.rate).amax(dim=-1)
        return self.front(whole.reshape(-1, self.frames, *points.shape[2:])), keep

    def tokens(self, streams: Tensor, *, clips: int) -> Tensor:
        """Tokens (N, S, F) of `streams`."""
        maps = self.body.stage_features(streams)[-1]
        return maps.mean(dim=-1).transpose(1, 2).reshape(clips, -1, self.width)
