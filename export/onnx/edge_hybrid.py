"""The edge form of the NSLT recogniser: tokens as maps (N, 1, L, D), one convolution as the landmarks' door."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from last_edge.export.onnx.edge_transformer import EdgeEncoderLayer
from last_edge.models.hybrid_nslt import FeatureBranch, HybridBody, LandmarkBranch
from last_edge.models.layers.attention import MASKED
from last_edge.models.layers.folding import linear
from last_edge.models.layers.joining import Concat, Cross, Gated, Reading


class EdgeLandmarkBranch(nn.Module):
    """Streams (N, S*C, T, V) -> tokens (N, 1, T, D), and 1 where a frame shows a point (N, 1, T).

    One channel of the embedding passes on whether a frame shows a point, so that all behind the door follows from it.
    """

    def __init__(self, branch: LandmarkBranch) -> None:
        super().__init__()
        self.features = branch.features
        width, inside = branch.embed.out_features, branch.features.width
        self.embed = nn.Conv2d(inside + 1, width + 1, 1)
        assert self.embed.bias is not None
        self.embed.weight.data = nn.functional.pad(branch.embed.weight, (0, 1, 0, 1))[..., None, None]
        self.embed.weight.data[-1, -1] = 1
        self.embed.bias.data = nn.functional.pad(branch.embed.bias, (0, 1))
        self.place, self.norm = branch.place, branch.norm
        self.layers = nn.ModuleList(EdgeEncoderLayer(layer) for layer in branch.layers)  # type: ignore[arg-type]

    def forward(self, streams: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        frames, seen = self.features(streams)
        joined = torch.cat([frames, seen[..., None]], dim=-1).transpose(1, 2)[..., None]
        made = self.embed(joined)[..., 0].transpose(1, 2)[:, None]
        x, shown = self.norm(self.place(made[..., :-1])), made[..., -1]
        masking = masking_of(shown)
        for layer in self.layers:
            x = layer(x, masking)
        return x, shown


class EdgeFeatureBranch(nn.Module):
    """Features (N, F, E), NaN where missing -> tokens (N, 1, F, D), and 1 where a row was there (N, 1, F)."""

    def __init__(self, branch: FeatureBranch) -> None:
        super().__init__()
        self.embed, self.place, self.norm = branch.embed, branch.place, branch.norm

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        missing = torch.isnan(features[:, None])
        there = 1 - missing.to(features.dtype).amax(-1)
        rows = torch.where(missing, 0.0, features[:, None])
        return self.norm(self.place(self.embed(rows))), there


class EdgeReading(nn.Module):
    """`Reading` on maps: (N, 1, L, D), (N, 1, S, D), keep (N, 1, S) -> (N, 1, L, D)."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.heads = reading.heads
        shrink = 1 / math.sqrt(reading.query.in_features // reading.heads)
        self.query = linear(reading.query.weight * shrink, reading.query.bias * shrink)
        self.key, self.value, self.out, self.norm = reading.key, reading.value, reading.out, reading.norm

    def forward(self, x: Tensor, other: Tensor, keep: Tensor) -> Tensor:
        """See the class."""
        query, key, value = (
            torch.unflatten(part(tokens).squeeze(1), -1, (self.heads, -1)).transpose(1, 2)
            for part, tokens in ((self.query, x), (self.key, other), (self.value, other))
        )
        weights = torch.softmax(query @ key.transpose(-1, -2) + masking_of(keep), dim=-1)
        read = self.out((weights @ value).transpose(1, 2).flatten(2).unsqueeze(1))
        return self.norm(read * keep.amax(2)[:, :, None, None] + x)  # type: ignore[no-any-return]


class EdgeHybrid(nn.Module):
    """Streams (N, S*C, T, V) and features (N, F, E) -> logits (N, K)."""

    def __init__(self, body: HybridBody) -> None:
        super().__init__()
        self.landmarks, self.visual = EdgeLandmarkBranch(body.landmarks), EdgeFeatureBranch(body.visual)
        self.join = body.join
        if isinstance(body.join, Cross):
            self.own, self.others = EdgeReading(body.join.own), EdgeReading(body.join.others)
        self.head = body.head
        self.shape = body.options.second_input.shape

    def forward(self, streams: Tensor, features: Tensor | None = None) -> Tensor:
        """See the class; without features none are there."""
        if features is None:
            features = streams.new_full((len(streams), *self.shape), torch.nan)
        tokens, seen = self.landmarks(streams)
        rows, there = self.visual(features)
        if isinstance(self.join, Cross):
            tokens, rows = self.own(tokens, rows, there), self.others(rows, tokens, seen)
        return self.head(self._joined(mean_of(tokens, seen), mean_of(rows, there)))  # type: ignore[no-any-return]

    def _joined(self, own: Tensor, others: Tensor) -> Tensor:
        both = torch.cat([own, others], dim=-1)
        if isinstance(self.join, Concat | Cross):
            return both
        assert isinstance(self.join, Gated)
        gate = torch.sigmoid(self.join.gate(both))
        return gate * others + (1 - gate) * own


class EdgeHybridModel(nn.Module):
    """Raw landmarks (N, T, V, C), or (N, M, T, V, C), and features (N, F, E) -> logits (N, K)."""

    def __init__(self, *, front: nn.Module, body: EdgeHybrid) -> None:
        super().__init__()
        self.front, self.body = front, body

    def forward(self, landmarks: Tensor, features: Tensor | None = None) -> Tensor:
        """See the class."""
        return self.body(self.front(landmarks), features)  # type: ignore[no-any-return]


def masking_of(keep: Tensor) -> Tensor:
    """(N, 1, L) of 1 and 0 -> what is added to scores, (N, 1, 1, L)."""
    return ((1 - keep) * MASKED)[:, :, None]


def mean_of(x: Tensor, keep: Tensor) -> Tensor:
    """(N, 1, L, D), keep (N, 1, L) -> (N, D), the mean of the tokens that are there; 0 of none."""
    total = (x * keep[..., None]).sum(2)
    return (total / keep.sum(2)[..., None].clamp(min=1.0))[:, 0]
