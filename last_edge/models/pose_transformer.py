"""Pose transformers: one token a frame, a class token that reads them all; norms after the sums, learned positions.

A frame is its joints and, where asked for, what its fingers do, and what it shows of a signer, the leading hand first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.inputs.spec import InputSpec
from last_edge.models.hand_features import FingerFeatures, SignFeatures
from last_edge.models.landmark_model import Body, LandmarkModel
from last_edge.models.layers.attention import MASKED, EncoderLayer
from last_edge.models.layers.folding import with_weights
from last_edge.models.registry import adjust, register_model

INITIAL_SPREAD = 0.02


@dataclass(frozen=True)
class Options:
    """Size and switches of a pose transformer.

    width: of a token; layers, heads: of the encoder; hidden: of its feed-forward parts. dropout: after embedding,
    attention and feed-forward, on attention weights and before the classifier. fingers: add thirty features of the
    hands to a frame's points. signer: read joints alone, the leading hand first, and add `SignFeatures`. For both
    the layout must have two hands and the streams begin with `joint`, for `signer` arms and a head too.
    """

    width: int
    layers: int
    heads: int
    hidden: int
    dropout: float = 0.1
    fingers: bool = False
    signer: bool = False

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise UsageError("model option width must be a multiple of heads", expected=self.heads, got=self.width)


class FrameFeatures(nn.Module):
    """Streams (N, S*C, T, V) -> what each frame's token is made of (N, T, F), and 1 where it shows a point (N, T).

    F: every stream of every point, then the fingers' features where they are wanted; or of a signer the joints with the
    leading hand first and `SignFeatures`. A frame without points has 0.
    """

    def __init__(self, spec: InputSpec, *, fingers: bool, signer: bool = False) -> None:
        super().__init__()
        if (fingers or signer) and spec.streams[0] != "joint":
            raise UsageError("finger features are made of joints", expected="streams that begin with joint")
        self.axes = spec.channels
        self.signer = SignFeatures(spec.layout, spec.channels, fingers=fingers, sides=True) if signer else None
        self.fingers = FingerFeatures(spec.layout) if fingers and not signer else None
        points = len(spec.streams) * spec.channels * spec.layout.joints
        self.width = points + (0 if self.fingers is None else self.fingers.width)
        if self.signer is not None:
            self.width = spec.channels * spec.layout.joints + self.signer.width

    def forward(self, streams: Tensor) -> tuple[Tensor, Tensor]:
        seen = (streams.abs().amax(dim=(1, 3)) > 0).to(streams.dtype)
        if self.signer is not None:
            joints = self.signer.right_leads(streams[:, : self.axes])
            return torch.cat([joints.transpose(1, 2).flatten(2), self.signer(joints)], dim=-1), seen
        points = streams.transpose(1, 2).flatten(2)
        if self.fingers is None:
            return points, seen
        return torch.cat([points, self.fingers(streams[:, : self.axes])], dim=-1), seen


class TokenHead(nn.Module):
    """Dropout and classifier of one token: (N, D) -> (N, K)."""

    def __init__(self, width: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.dropout(x))


class PoseTransformerBody(Body):
    """Streams (N, S*C, T, V) -> logits (N, K); of several bodies (N, M, S*C, T, V) the first one's.

    A frame that shows no point at all is no token: nothing attends to it, and what stands in it changes nothing.
    """

    def __init__(self, spec: InputSpec, classes: int, options: Options) -> None:
        super().__init__()
        self.options = options
        self.features = FrameFeatures(spec, fingers=options.fingers, signer=options.signer)
        self.embed = nn.Linear(self.features.width, options.width)
        self.cls = nn.Parameter(torch.empty(options.width))
        self.positions = nn.Parameter(torch.empty(spec.frames + 1, options.width))
        self.norm, self.dropout = nn.LayerNorm(options.width), nn.Dropout(options.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(options.width, heads=options.heads, hidden=options.hidden, dropout=options.dropout)
            for _ in range(options.layers)
        )
        self.head = TokenHead(options.width, classes, dropout=options.dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, INITIAL_SPREAD)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.cls, 0.0, INITIAL_SPREAD)
        nn.init.normal_(self.positions, 0.0, INITIAL_SPREAD)

    def forward(self, streams: Tensor) -> Tensor:
        frames, seen = self.features(streams if streams.dim() == 4 else streams[:, 0])
        first = self.cls.expand(frames.shape[0], 1, -1)  # len() would fix the batch of an exported graph
        x = self.dropout(self.norm(torch.cat([first, self.embed(frames)], dim=1) + self.positions))
        keep = torch.cat([torch.ones_like(seen[:, :1]), seen], dim=1)
        for layer in self.layers:
            x = layer(x, keep)
        return self.head(x[:, 0])

    def deployed(self, spec: InputSpec) -> EdgePoseTransformer:
        return EdgePoseTransformer(self)

    def encoder_layers(self) -> list[EncoderLayer]:
        """The encoder, first layer first."""
        return [layer for layer in self.layers if isinstance(layer, EncoderLayer)]


class EdgePoseTransformer(nn.Module):
    """Streams (N, S*C, T, V) -> logits (N, K).

    The class token is a frame of zeros before the others: what the embedding makes of it is in the table of positions.
    See `embedding_with_flag`.
    """

    table: Tensor
    masked: Tensor

    def __init__(self, body: PoseTransformerBody) -> None:
        super().__init__()
        self.features = body.features
        self.embed = embedding_with_flag(body.embed)
        table = body.positions.clone()
        table[0] += body.cls - body.embed.bias
        self.register_buffer("table", table)
        masked = torch.full((len(table),), MASKED, dtype=table.dtype)
        masked[0] = 0
        self.register_buffer("masked", masked)
        self.norm, self.head = body.norm, body.head.fc
        self.layers = nn.ModuleList(layer.deployed() for layer in body.encoder_layers())

    def forward(self, streams: Tensor) -> Tensor:
        frames, seen = self.features(streams)
        padded = nn.functional.pad(torch.cat([frames, seen[..., None]], dim=-1), (0, 0, 1, 0))
        made = self.embed(padded.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)[:, None]
        x, shown = made[..., :-1], made[..., -1]
        x, masking = self.norm(x + self.table), ((1 - shown) * self.masked)[:, :, None]
        for layer in self.layers:
            x = layer(x, masking)
        return self.head(x[:, 0, 0])


def embedding_with_flag(embed: nn.Linear) -> nn.Conv2d:
    """The embedding of frames as a convolution with one channel more, which passes on whether a frame shows a point.

    Being the graph's first convolution, all behind it then follows from its output.
    """
    made = nn.Conv2d(embed.in_features + 1, embed.out_features + 1, 1)
    weight = nn.functional.pad(embed.weight, (0, 1, 0, 1))
    weight[-1, -1] = 1
    return with_weights(made, weight[..., None, None], nn.functional.pad(embed.bias, (0, 1)))


def _build(spec: InputSpec, classes: int, variant: Options, options: dict[str, Any]) -> LandmarkModel:
    return LandmarkModel(spec, PoseTransformerBody(spec, classes, adjust(variant, options)))


@register_model
def pose_transformer_small(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """177,556 parameters for 256 frames of 75 flat points and 20 classes."""
    return _build(spec, classes, Options(width=64, layers=3, heads=8, hidden=256), options)


@register_model
def pose_transformer_medium(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """852,146 parameters for 256 frames of 75 flat points and 50 classes."""
    return _build(spec, classes, Options(width=128, layers=4, heads=8, hidden=512), options)


@register_model
def pose_transformer_large(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """4,856,626 parameters for 256 frames of 75 flat points and 50 classes."""
    return _build(spec, classes, Options(width=256, layers=6, heads=16, hidden=1024), options)
