"""The body of LAST-E and LAST-Lite: fusion of streams, stages of blocks, gated head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from last_edge.inputs.spec import InputSpec
from last_edge.models.body import Body
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.last_block import Block, Options
from last_edge.models.layers.bodies import merge_bodies, merge_maps, present_bodies
from last_edge.models.layers.drop_path import ramp
from last_edge.models.layers.fusion import FUSIONS
from last_edge.models.layers.gcn import SpatialGCN
from last_edge.models.layers.head import GatedHead
from last_edge.models.layers.initialise import initialise
from last_edge.models.options import adjust
from last_edge.skeleton.graph import spatial_partition


class LastBody(Body):
    """Streams (N, S*C, T, V) -> logits (N, K); of (N, M, S*C, T, V) the bodies that `options.bodies` says."""

    def __init__(self, spec: InputSpec, classes: int, options: Options) -> None:
        super().__init__()
        self.options = options
        self.lookahead = int("velocity" in spec.streams)
        fusion = FUSIONS[options.fusion]
        self.fusion = fusion(streams=len(spec.streams), axes=spec.channels, channels=options.stem)
        self.stages = nn.ModuleList(_stages(spec, options))
        self.head = GatedHead(options.widths[-1], classes, dropout=options.dropout, ib=options.ib)
        initialise(self)

    def stage_features(self, streams: Tensor) -> list[Tensor]:
        """The feature map after each stage, (N, C_i, T_i, V), of one body's streams (N, S*C, T, V)."""
        features = [self.fusion(streams)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[1:]

    def forward(self, streams: Tensor) -> Tensor:
        """See the class."""
        return self._maps_and_logits(self._bodies(streams))[1]

    def stage_widths(self) -> tuple[int, ...]:
        """See `Body`."""
        return self.options.widths

    def features_and_logits(self, streams: Tensor) -> tuple[list[Tensor], Tensor]:
        """See `Body`."""
        streams = self._bodies(streams)
        maps, logits = self._maps_and_logits(streams)
        return (maps if streams.dim() == 4 else [merge_maps(x, present_bodies(streams)) for x in maps]), logits

    def _bodies(self, streams: Tensor) -> Tensor:
        """The bodies that count: (N, S*C, T, V) for one, else (N, M, S*C, T, V)."""
        return streams[:, 0] if streams.dim() == 5 and self.options.bodies == "first" else streams

    def _maps_and_logits(self, streams: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps after each stage, bodies in the batch, and logits (N, K)."""
        if streams.dim() == 4:
            maps = self.stage_features(streams)
            return maps, self.head(maps[-1])
        maps = self.stage_features(streams.flatten(0, 1))
        by_body = self.head.pool(maps[-1]).reshape(*streams.shape[:2], -1)
        merged = merge_bodies(by_body, present_bodies(streams), self.options.bodies)
        return maps, self.head.classify(merged)

    def receptive_field(self) -> int | None:
        """See `Body`; pooling gates and subset attention see the whole clip."""
        blocks = [module for module in self.modules() if isinstance(module, Block)]
        if any(block.sees_whole_clip for block in blocks):
            return None
        field, jump = 1, 1
        for block in blocks:
            field += (block.tcn.depthwise.kernel_size[0] - 1) * jump
            jump *= block.tcn.depthwise.stride[0]
        return field + self.lookahead

    def auxiliary_loss(self) -> Tensor | None:
        """The information bottleneck's divergence (see `InformationBottleneck`)."""
        return self.head.ib.divergence() if self.head.ib is not None else None

    def training_only(self) -> tuple[nn.Module, ...]:
        """The information bottleneck's heads, as far as no logit depends on them."""
        return self.head.training_only()


def _stages(spec: InputSpec, o: Options) -> list[nn.Sequential]:
    adjacency = spatial_partition(spec.layout, max_hop=o.max_hop, legacy=o.legacy_partition)
    drops = iter(ramp(o.drop_path_rate, sum(o.blocks)))
    stages, channels = [], o.stem
    for stage, (width, depth, stride) in enumerate(zip(o.widths, o.blocks, o.strides, strict=True)):
        blocks = []
        for index in range(depth):
            gcn = SpatialGCN(
                channels,
                width,
                adjacency=adjacency,
                learn_edges=o.learn_edges,
                subset_attention=o.subset_attention,
            )
            step = stride if index == 0 else 1
            blocks.append(Block((channels, width), gcn=gcn, stage=stage, stride=step, drop=next(drops), o=o))
            channels = width
        stages.append(nn.Sequential(*blocks))
    return stages


def build(spec: InputSpec, classes: int, variant: Options, options: dict[str, Any]) -> LandmarkModel:
    """A model of this family from a variant and the caller's changes to it."""
    return LandmarkModel(spec, LastBody(spec, classes, adjust(variant, options)))
