"""The NSLT recogniser: a landmark transformer and features of a vision model, joined in one of three ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.inputs.features import FeatureInput
from last_edge.inputs.spec import InputSpec
from last_edge.models.body import Body
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.layers.attention import EncoderLayer
from last_edge.models.layers.joining import JOINS
from last_edge.models.layers.positions import Positions
from last_edge.models.options import adjust, check_choice
from last_edge.models.pose_transformer import FrameFeatures
from last_edge.models.registry import register_model

MANY_CLASSES = 500
LAST_LAYER_GAIN = 0.1


@dataclass(frozen=True)
class Options:
    """Size and switches of the recogniser.

    width: of a token; layers, heads: of the landmark encoder. dropout: everywhere. fusion: `concat`, `gated` or `cross`
    (see `last_edge.models.layers.joining`). sinusoidal_positions: else the legacy table, random at first and learnt.
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
        """See the class."""
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
        """See the class."""
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
        """See the class."""
        return self.fc(self.deep(x))  # type: ignore[no-any-return]


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
        """See the class."""
        if features is None and self.training:
            hint = "last-edge train, which brings a store's features"
            raise UsageError("this way of training brings no features", expected=self.options.features, hint=hint)
        tokens, seen = self.landmarks(streams if streams.dim() == 4 else streams[:, 0])
        rows, there = self.visual(self._none(streams) if features is None else features)
        return self.head(self.join(tokens, seen, rows, there))  # type: ignore[no-any-return]

    def _none(self, streams: Tensor) -> Tensor:
        return streams.new_full((len(streams), *self.options.second_input.shape), torch.nan)


class HybridModel(LandmarkModel):
    """Points (N, T, V, C) and features (N, F, E), NaN where missing -> logits (N, K); see `HybridBody`."""

    def __init__(self, spec: InputSpec, body: HybridBody) -> None:
        super().__init__(spec, body)
        self.features = body.options.second_input

    def forward(self, points: Tensor, features: Tensor | None = None) -> Tensor:
        """See the class."""
        return self.from_streams(self.front(points), features)

    def from_streams(self, streams: Tensor, features: Tensor | None = None) -> Tensor:
        """Streams (N, [M,] S*C, T, V) and features (N, F, E) -> logits (N, K)."""
        return self.body(streams, features)  # type: ignore[no-any-return]


@register_model
def hybrid_nslt(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """Landmarks and a vision model's features; width 512, dropout 0.5."""
    return HybridModel(spec, HybridBody(spec, classes, adjust(Options(), options)))
