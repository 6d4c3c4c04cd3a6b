"""The NSLT recogniser: a landmark transformer and features of a vision model, joined in one of three ways."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.inputs.features import FeatureInput
from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import Body, LandmarkModel
from last_edge.models.layers.attention import EdgeAttention, EncoderLayer, SelfAttention, masking_of
from last_edge.models.pose_transformer import FrameFeatures, embedding_with_flag
from last_edge.models.registry import adjust, check_choice, register_model

MANY_CLASSES = 500
LAST_LAYER_GAIN = 0.1
BASE = 10_000.0


class Concat(nn.Module):
    """Both means side by side: tokens (N, L, D) with keep (N, L), others (N, S, D) with theirs -> (N, 2D)."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.width = 2 * width

    def forward(self, x: Tensor, keep: Tensor, other: Tensor, there: Tensor) -> Tensor:
        return self.of_means(mean_of(x, keep), mean_of(other, there))

    def of_means(self, own: Tensor, others: Tensor) -> Tensor:
        """Of both means (N, D)."""
        return torch.cat([own, others], dim=-1)


class Gated(Concat):
    """g * other + (1 - g) * own, both means, g of both: shapes as `Concat`, but -> (N, D)."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__(width, heads=heads, dropout=dropout)
        self.width = width
        self.gate = nn.Linear(2 * width, width)

    def of_means(self, own: Tensor, others: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(super().of_means(own, others)))
        return gate * others + (1 - gate) * own


class Cross(Concat):
    """Each side's tokens read the other's over time, then both means side by side: shapes as `Concat`."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__(width, heads=heads, dropout=dropout)
        self.own = Reading(width, heads=heads, dropout=dropout)
        self.others = Reading(width, heads=heads, dropout=dropout)

    def forward(self, x: Tensor, keep: Tensor, other: Tensor, there: Tensor) -> Tensor:
        return super().forward(self.own(x, other, there), keep, self.others(other, x, keep), there)


class Reading(SelfAttention):
    """Norm(x + attention of x to other): (N, L, D), (N, S, D), keep (N, S) -> (N, L, D).

    Nothing is read of a side that shows nothing at all.
    """

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__(width, heads=heads, dropout=dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, other: Tensor, keep: Tensor) -> Tensor:  # type: ignore[override]
        read = self.dropout(self.read(x, other, keep))
        return self.norm(x + read * keep.amax(1)[:, None, None])


def mean_of(x: Tensor, keep: Tensor) -> Tensor:
    """(N, L, D), keep (N, L) 1 or 0 -> (N, D), the mean of the tokens that are there; 0 of none."""
    total = (x * keep[..., None]).sum(1)
    return total / keep.sum(1, keepdim=True).clamp(min=1.0)


JOINS: dict[str, type[Concat]] = {"concat": Concat, "gated": Gated, "cross": Cross}


@dataclass(frozen=True)
class Options:
    """Size and switches of the recogniser.

    width: of a token; layers, heads: of the landmark encoder. dropout: everywhere. fusion: `concat`, `gated` or `cross`
    (see the classes of these names). sinusoidal_positions: else the legacy table, random at first and learnt.
    features: name of the second input; feature_dim: its numbers a frame, which a run takes from its store;
    feature_frames: its window. fingers: as in the pose transformers.
    """

    width: int = 512
    layers: int = 2
    heads: int = 4
    dropout: float = 0.5
    fusion: str = "concat"
    sinusoidal_positions: bool = True
    features: str = "visual"
    feature_dim: int = 768
    feature_frames: int = 16
    fingers: bool = False

    def __post_init__(self) -> None:
        check_choice("fusion", self.fusion, JOINS)
        if self.width % self.heads:
            raise UsageError("model option width must be a multiple of heads", expected=self.heads, got=self.width)

    @property
    def second_input(self) -> FeatureInput:
        """What the model reads beside landmarks."""
        return FeatureInput(self.features, self.feature_frames, self.feature_dim)


def sinusoidal(length: int, width: int) -> Tensor:
    """(length, width): sin(p / 10000^(2i/D)) in even columns, the cosine in odd ones (Vaswani et al. 2017, 3.5)."""
    places = torch.arange(length, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(BASE) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(places * rates)
    table[:, 1::2] = torch.cos(places * rates)[:, : width // 2]
    return table


class Positions(nn.Module):
    """Adds a place to each token: (N, L, D) -> (N, L, D).

    sinusoidal: a fixed table; else the legacy one, which starts at random, N(0, 1), and is learnt.
    """

    table: Tensor

    def __init__(self, length: int, width: int, *, fixed: bool) -> None:
        super().__init__()
        if fixed:
            self.register_buffer("table", sinusoidal(length, width), persistent=False)
        else:
            self.table = nn.Parameter(torch.randn(length, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table


class LandmarkBranch(nn.Module):
    """Streams (N, S*C, T, V) -> tokens (N, T, D), and 1 where a frame shows a point (N, T)."""

    def __init__(self, spec: InputSpec, o: Options) -> None:
        super().__init__()
        self.features = FrameFeatures(spec, fingers=o.fingers)
        self.embed = nn.Linear(self.features.width, o.width)
        self.place = Positions(spec.frames, o.width, fixed=o.sinusoidal_positions)
        self.norm, self.dropout = nn.LayerNorm(o.width), nn.Dropout(o.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(o.width, heads=o.heads, hidden=4 * o.width, dropout=o.dropout) for _ in range(o.layers)
        )

    def forward(self, streams: Tensor) -> tuple[Tensor, Tensor]:
        frames, seen = self.features(streams)
        x = self.dropout(self.norm(self.place(self.embed(frames))))
        for layer in self.layers:
            x = layer(x, seen)
        return x, seen


class FeatureBranch(nn.Module):
    """Features (N, F, E), NaN where missing -> tokens (N, F, D), and 1 where a row was there (N, F)."""

    def __init__(self, o: Options) -> None:
        super().__init__()
        self.embed = nn.Linear(o.feature_dim, o.width)
        self.place = Positions(o.feature_frames, o.width, fixed=o.sinusoidal_positions)
        self.norm, self.dropout = nn.LayerNorm(o.width), nn.Dropout(o.dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        missing = torch.isnan(features)
        seen = 1 - missing.to(features.dtype).amax(-1)
        rows = self.embed(features.masked_fill(missing, 0.0))
        return self.dropout(self.norm(self.place(rows))), seen


class ClassHead(nn.Module):
    """(N, D) -> (N, K): two linear layers; over 500 classes three, with twice the width between them.

    The last one starts small, Xavier-uniform with a gain of 0.1, so that many classes begin alike.
    """

    def __init__(self, width: int, inside: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        widths = (width, 2 * inside, inside) if classes > MANY_CLASSES else (width, inside)
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(before, after), nn.GELU(), nn.Dropout(dropout)]
        self.deep = nn.Sequential(*layers)
        self.fc = nn.Linear(widths[-1], classes)
        nn.init.xavier_uniform_(self.fc.weight, gain=LAST_LAYER_GAIN)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.deep(x))


class HybridBody(Body):
    """Streams (N, S*C, T, V), of several bodies the first one's, and features (N, F, E) -> logits (N, K).

    NaN in a row of features says that it is missing; without features all of them are, but not while it learns:
    `UsageError`, for a way of training that brings none.
    """

    def __init__(self, spec: InputSpec, classes: int, options: Options) -> None:
        super().__init__()
        self.options = options
        self.landmarks, self.visual = LandmarkBranch(spec, options), FeatureBranch(options)
        self.join = JOINS[options.fusion](options.width, heads=options.heads, dropout=options.dropout)
        self.head = ClassHead(self.join.width, options.width, classes, dropout=options.dropout)

    def forward(self, streams: Tensor, features: Tensor | None = None) -> Tensor:
        if features is None and self.training:
            hint = "last-edge train, which brings a store's features"
            raise UsageError("this way of training brings no features", expected=self.options.features, hint=hint)
        tokens, seen = self.landmarks(streams if streams.dim() == 4 else streams[:, 0])
        if features is None:
            features = streams.new_full((len(streams), *self.options.second_input.shape), torch.nan)
        rows, there = self.visual(features)
        return self.head(self.join(tokens, seen, rows, there))

    def deployed(self, spec: InputSpec) -> EdgeHybrid:
        return EdgeHybrid(self)


class EdgeLandmarkBranch(nn.Module):
    """Streams (N, S*C, T, V) -> tokens (N, 1, T, D), and 1 where a frame shows a point (N, 1, T).

    See `embedding_with_flag`.
    """

    def __init__(self, branch: LandmarkBranch) -> None:
        super().__init__()
        self.features = branch.features
        self.embed = embedding_with_flag(branch.embed)
        self.place, self.norm = branch.place, branch.norm
        self.layers = nn.ModuleList(layer.deployed() for layer in branch.layers)  # type: ignore[operator]

    def forward(self, streams: Tensor) -> tuple[Tensor, Tensor]:
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
        missing = torch.isnan(features[:, None])
        there = 1 - missing.to(features.dtype).amax(-1)
        rows = torch.where(missing, 0.0, features[:, None])
        return self.norm(self.place(self.embed(rows))), there


class EdgeReading(EdgeAttention):
    """`Reading` on maps: (N, 1, L, D), (N, 1, S, D), keep (N, 1, S) -> (N, 1, L, D)."""

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self.norm = reading.norm

    def forward(self, x: Tensor, other: Tensor, keep: Tensor) -> Tensor:
        read = self.read(x, other, masking_of(keep))
        return self.norm(read * keep.amax(2)[:, :, None, None] + x)


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
        means = mean_of_maps(tokens, seen), mean_of_maps(rows, there)
        return self.head(self.join.of_means(*means))


def mean_of_maps(x: Tensor, keep: Tensor) -> Tensor:
    """(N, 1, L, D), keep (N, 1, L) -> (N, D), the mean of the tokens that are there; 0 of none."""
    total = (x * keep[..., None]).sum(2)
    return (total / keep.sum(2)[..., None].clamp(min=1.0))[:, 0]


@register_model
def hybrid_nslt(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """Landmarks and a vision model's features; width 512, dropout 0.5."""
    adjusted = adjust(Options(), options)
    return LandmarkModel(spec, HybridBody(spec, classes, adjusted), features=adjusted.second_input)
