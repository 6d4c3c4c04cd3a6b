"""LAST-E v3, the students: spatial graph convolution, separable temporal convolution, motion gate, joint attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from last_edge.inputs.spec import InputSpec
from last_edge.models.blocks.activation import activation
from last_edge.models.blocks.drop_path import DropPath, ramp
from last_edge.models.blocks.fusion import StreamFusionConcat
from last_edge.models.blocks.gates import JointAttention, MotionGate
from last_edge.models.blocks.head import GatedHead
from last_edge.models.blocks.initialise import initialise
from last_edge.models.blocks.spatial_gcn import SpatialGCN
from last_edge.models.blocks.temporal import EpSepTCN, strided_projection
from last_edge.models.landmark_model import LandmarkModel, adjust
from last_edge.models.registry import register_model
from last_edge.skeleton.graph import spatial_partition


@dataclass(frozen=True)
class Options:
    """Widths and switches of a LAST body.

    widths, blocks, strides, use_st_att: one entry a stage. max_hop: K = 2 * max_hop + 1 graph subsets.
    learn_edges, motion_gate, subset_attention: the input- or data-dependent parts, all off in LAST-Lite.
    legacy_partition: cut the breadth-first search at `max_hop`, as older public graph code did.
    """

    stem: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    max_hop: int
    dropout: float
    strides: tuple[int, ...] = (1, 2, 2)
    use_st_att: tuple[bool, ...] = (True, True, True)
    expand: int = 2
    subset_attention: bool = False
    motion_gate: bool = True
    learn_edges: bool = True
    drop_path_rate: float = 0.0
    act: str = "hardswish"
    legacy_partition: bool = False


class Block(nn.Module):
    """Graph conv, activation, temporal conv, gates, drop path, plus residual: (N, C_in, T, V) -> (N, C_out, T/s, V)."""

    def __init__(
        self, channels: tuple[int, int], *, gcn: SpatialGCN, stride: int, st_att: bool, drop: float, o: Options
    ):
        super().__init__()
        channels_in, channels_out = channels
        self.gcn = gcn
        self.act = activation(o.act)
        self.tcn = EpSepTCN(channels_out, stride=stride, expand=o.expand, act=o.act)
        self.gate: nn.Module = MotionGate(channels_out) if o.motion_gate else nn.Identity()
        self.st_att: nn.Module = JointAttention(channels_out) if st_att else nn.Identity()
        self.drop_path = DropPath(drop)
        same = stride == 1 and channels_in == channels_out
        self.residual: nn.Module = (
            nn.Identity() if same else strided_projection(channels_in, channels_out, stride=stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = self.tcn(self.act(self.gcn(x)))
        return self.drop_path(self.st_att(self.gate(y))) + self.residual(x)  # type: ignore[no-any-return]


class LastBody(nn.Module):
    """Fusion, three stages of blocks, gated head: streams (N, S*C, T, V) -> logits (N, K)."""

    def __init__(self, spec: InputSpec, classes: int, options: Options) -> None:
        super().__init__()
        self.options = options
        self.fusion = StreamFusionConcat(streams=len(spec.streams), axes=spec.channels, channels=options.stem)
        self.stages = nn.ModuleList(_stages(spec, options))
        self.head = GatedHead(options.widths[-1], classes, dropout=options.dropout)
        initialise(self)

    def stage_features(self, streams: Tensor) -> list[Tensor]:
        """The feature map after each stage, (N, C_i, T_i, V)."""
        features = [self.fusion(streams)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[1:]

    def forward(self, streams: Tensor) -> Tensor:
        """See the class."""
        return self.head(self.stage_features(streams)[-1])  # type: ignore[no-any-return]


def _stages(spec: InputSpec, o: Options) -> list[nn.Sequential]:
    adjacency = spatial_partition(spec.layout, max_hop=o.max_hop, legacy=o.legacy_partition)
    drops = iter(ramp(o.drop_path_rate, sum(o.blocks)))
    stages, channels = [], o.stem
    for width, depth, stride, st_att in zip(o.widths, o.blocks, o.strides, o.use_st_att, strict=True):
        stage = []
        for index in range(depth):
            gcn = SpatialGCN(
                channels,
                width,
                adjacency=adjacency,
                learn_edges=o.learn_edges,
                subset_attention=o.subset_attention,
            )
            step = stride if index == 0 else 1
            stage.append(Block((channels, width), gcn=gcn, stride=step, st_att=st_att, drop=next(drops), o=o))
            channels = width
        stages.append(nn.Sequential(*stage))
    return stages


def build(spec: InputSpec, classes: int, variant: Options, options: dict[str, Any]) -> LandmarkModel:
    """A model of this family from a variant and the caller's changes to it."""
    return LandmarkModel(spec, LastBody(spec, classes, adjust(variant, options)))


@register_model
def last_e_nano(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """82,847 parameters at 25 joints and 60 classes."""
    variant = Options(stem=24, widths=(32, 48, 64), blocks=(1, 1, 1), max_hop=1, dropout=0.2)
    return build(spec, classes, variant, options)


@register_model
def last_e_small(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """344,727 parameters at 25 joints and 60 classes."""
    variant = Options(stem=32, widths=(48, 64, 96), blocks=(1, 2, 2), max_hop=2, dropout=0.25, subset_attention=True)
    return build(spec, classes, variant, options)
