"""LAST-v2, the teachers: one backbone read by every stream, adaptive graphs, joint attention, linear attention."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import Body, LandmarkModel
from last_edge.models.last_body import initialise, stack
from last_edge.models.layers.folding import affine, linear, projection, scales_and_shifts
from last_edge.models.layers.gates import EdgeGates, JointAttention
from last_edge.models.layers.gcn import AdaptiveGraphConv, column_partition
from last_edge.models.layers.head import (
    BODIES,
    MeanHead,
    log_mean_probability,
    merge_bodies,
    merge_maps,
    present_bodies,
)
from last_edge.models.layers.temporal import LinearAttention, SeparableTCN, strided_projection
from last_edge.models.registry import adjust, check_choice, check_per_stage, register_model


@dataclass(frozen=True)
class Options:
    """Widths and switches of a LAST-v2 body.

    widths, blocks, attention, strides: one entry a stage; attention: linear attention in place of the temporal conv.
    dropout: before the classifier; block_dropout: after each temporal part.
    bodies: `mean` or `max` of the logits of the bodies present, or of several only the `first`.
    legacy_partition: cut the breadth-first search at one hop, as older public graph code did.
    """

    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    attention: tuple[bool, ...] = (False, True, True)
    strides: tuple[int, ...] = (1, 2, 2)
    heads: int = 4
    dropout: float = 0.3
    block_dropout: float = 0.1
    bodies: str = "mean"
    legacy_partition: bool = False

    def __post_init__(self) -> None:
        check_per_stage(self, names=("widths", "blocks", "attention", "strides"))
        check_choice("bodies", self.bodies, BODIES)


class Block(nn.Module):
    """Adaptive graph conv, joint attention, temporal part, plus residual, ReLU: (N, C, T, V) -> (N, C', T/s, V)."""

    def __init__(self, channels: tuple[int, int], *, gcn: AdaptiveGraphConv, stride: int, attends: bool, o: Options):
        super().__init__()
        channels_in, width = channels
        self.gcn = gcn
        self.gcn_bn: nn.Module = nn.BatchNorm2d(width)
        self.st_att = JointAttention(width)
        self.temporal = (
            LinearAttention(width, heads=o.heads, stride=stride, dropout=o.block_dropout)
            if attends
            else SeparableTCN(width, stride=stride, dropout=o.block_dropout)
        )
        same = stride == 1 and channels_in == width
        self.residual: nn.Module = (
            nn.Identity() if same else strided_projection(channels_in, width, stride=stride, bias=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.st_att(torch.relu(self.gcn_bn(self.gcn(x))))
        return torch.relu(self.temporal(y) + self.residual(x))

    def deployed(self) -> Self:
        """Itself, every part in its deployed form."""
        self.gcn, self.gcn_bn = self.gcn.deployed(self.gcn_bn), nn.Identity()  # type: ignore[assignment]
        self.st_att = EdgeGates(channel=None, joint=self.st_att.deployed())  # type: ignore[assignment]
        self.temporal, self.residual = self.temporal.deployed(), projection(self.residual)  # type: ignore[assignment]
        return self


class LastV2Body(Body):
    """Streams (N, S*C, T, V), or (N, M, S*C, T, V) for several bodies -> log-probabilities (N, K).

    log(mean over streams of softmax(logits)) serves wherever logits do: its softmax is that mean, and its cross
    entropy the mean's negative log-likelihood. Each stream's logits are the mean over the bodies present, so that an
    absent second body, 0 in every stream, does not pull them towards the answer for nothing.
    All streams and bodies pass the backbone as one batch: its norms learn from the mixture that they meet once trained.
    """

    reads_all_bodies = True

    def __init__(self, spec: InputSpec, classes: int, options: Options) -> None:
        super().__init__()
        self.options = options
        self.norms = nn.ModuleList(nn.BatchNorm2d(spec.channels) for _ in spec.streams)
        o, fixed = options, column_partition(spec.layout, legacy=options.legacy_partition)

        def block(channels: tuple[int, int], stride: int, stage: int) -> Block:
            gcn = AdaptiveGraphConv(*channels, fixed=fixed)
            return Block(channels, gcn=gcn, stride=stride, attends=o.attention[stage], o=o)

        stages = stack(spec.channels, block, widths=o.widths, blocks=o.blocks, strides=o.strides)
        self.stages = nn.Sequential(*stages)
        self.head = MeanHead(options.widths[-1], classes, dropout=options.dropout)
        initialise(self)

    def forward(self, streams: Tensor) -> Tensor:
        bodies = self._bodies(streams)
        return self._merge(self.stages(self._rows(bodies)), bodies)

    def bodies_read(self, spec: InputSpec) -> int:
        return 1 if self.options.bodies == "first" else spec.bodies

    def deployed(self, spec: InputSpec) -> EdgeBodyV2:
        return EdgeBodyV2(
            norms=affine(*scales_and_shifts(self.norms)),
            blocks=nn.Sequential(*(block.deployed() for block in self.modules() if isinstance(block, Block))),
            fc=linear(self.head.fc.weight, self.head.fc.bias),
            streams=len(self.norms),
            bodies=self.bodies_read(spec),
            how=self.options.bodies,
        )

    def stage_widths(self) -> tuple[int, ...]:
        return self.options.widths

    def features_and_logits(self, streams: Tensor) -> tuple[list[Tensor], Tensor]:
        bodies = self._bodies(streams)
        maps = [self._rows(bodies)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        present = present_bodies(bodies)
        by_stream = [x.reshape(len(self.norms), -1, *x.shape[1:]).mean(0) for x in maps[1:]]
        return [merge_maps(x, present) for x in by_stream], self._merge(maps[-1], bodies)

    def _bodies(self, streams: Tensor) -> Tensor:
        """The bodies that count, (N, M, S*C, T, V)."""
        bodies = streams if streams.dim() == 5 else streams[:, None]
        return bodies[:, :1] if self.options.bodies == "first" else bodies

    def _rows(self, bodies: Tensor) -> Tensor:
        """Every stream of every body as a row of one batch: (S*N*M, C, T, V)."""
        parts = bodies.flatten(0, 1).chunk(len(self.norms), dim=1)
        return torch.cat([norm(part) for norm, part in zip(self.norms, parts, strict=True)])

    def _merge(self, maps: Tensor, bodies: Tensor) -> Tensor:
        """The last stage's maps of all rows -> log-probabilities (N, K)."""
        logits = self.head(maps).float().reshape(len(self.norms), *bodies.shape[:2], -1)
        present = present_bodies(bodies)
        return log_mean_probability(
            torch.stack([merge_bodies(stream, present, self.options.bodies) for stream in logits])
        )


class EdgeBodyV2(nn.Module):
    """Streams (N, S*C, T, V), or (N, M, S*C, T, V), as rows of one batch -> log-probabilities (N, K).

    norms: every stream's norm as one affine map. how: the logits of several bodies are merged.
    """

    def __init__(
        self, *, norms: nn.Conv2d, blocks: nn.Sequential, fc: nn.Linear, streams: int, bodies: int, how: str
    ) -> None:
        super().__init__()
        self.norms, self.blocks, self.fc = norms, blocks, fc
        self.streams, self.bodies, self.how = streams, bodies, how

    def forward(self, streams: Tensor) -> Tensor:
        channels, frames, joints = streams.shape[-3:]
        rows = self.norms(streams.reshape(-1, channels, frames, joints))
        maps = self.blocks(rows.reshape(-1, channels // self.streams, frames, joints))
        logits = self.fc(maps.mean(dim=(2, 3)))
        if self.bodies == 1:
            logits = logits.reshape(-1, self.streams, logits.shape[1])
        else:
            by_body = logits.reshape(-1, self.bodies, self.streams, logits.shape[1])
            logits = merge_bodies(by_body, present_bodies(streams), self.how)
        return torch.logsumexp(torch.log_softmax(logits, dim=-1), dim=1) - math.log(self.streams)


def _build(spec: InputSpec, classes: int, variant: Options, options: dict[str, Any]) -> LandmarkModel:
    return LandmarkModel(spec, LastV2Body(spec, classes, adjust(variant, options)))


@register_model
def last_v2_small(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """2,938,564 parameters at 25 joints and 60 classes."""
    variant = Options(widths=(64, 128, 256), blocks=(3, 3, 4), attention=(False, False, True))
    return _build(spec, classes, variant, options)


@register_model
def last_v2_base(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """9,217,256 parameters at 25 joints and 60 classes."""
    return _build(spec, classes, Options(widths=(96, 192, 384), blocks=(4, 5, 5)), options)


@register_model
def last_v2_large(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """19,920,076 parameters at 25 joints and 60 classes."""
    return _build(spec, classes, Options(widths=(128, 256, 512), blocks=(6, 6, 6)), options)
