"""LAST-E v3 and LAST-Lite, the students: the block that both repeat, its options, the body, and every variant.

LAST-E has spatial graph convolution, separable temporal convolution, a motion gate and joint attention. LAST-Lite,
which is deployed, goes without its input-dependent parts, so that all of it folds and quantises.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import Body, LandmarkModel
from last_edge.models.layers.folding import projection
from last_edge.models.layers.gates import EdgeGates, HybridGate, JointAttention, MotionGate
from last_edge.models.layers.gcn import SpatialGCN
from last_edge.models.layers.head import (
    BODIES,
    BOTTLENECKS,
    FUSIONS,
    GatedHead,
    merge_bodies,
    merge_maps,
    present_bodies,
)
from last_edge.models.layers.temporal import EpSepTCN, activation, strided_projection
from last_edge.models.registry import adjust, check_choice, check_per_stage, register_model
from last_edge.skeleton.layout import spatial_partition


@dataclass(frozen=True)
class Options:
    """Widths and switches of a LAST body.

    widths, blocks, strides, use_st_att, hybrid_gate: one entry a stage. max_hop: K = 2 * max_hop + 1 graph subsets.
    learn_edges, motion_gate, subset_attention: the input- or data-dependent parts, all off in LAST-Lite.
    hybrid_gate: stages whose gate also reads the temporal spectrum. fusion: `concat`, or `softmax` blend of streams.
    ib: information bottleneck: `none`, `norm` (a regulariser of the pooled feature), `sampled` (classify a latent).
    bodies: of several, read the `first`, or the `mean` or `max` of the pooled features of those present.
    legacy_partition: cut the breadth-first search at `max_hop`, as older public graph code did.
    """

    stem: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    max_hop: int
    dropout: float
    strides: tuple[int, ...] = (1, 2, 2)
    use_st_att: tuple[bool, ...] = (True, True, True)
    hybrid_gate: tuple[bool, ...] = (False, False, False)
    expand: int = 2
    subset_attention: bool = False
    motion_gate: bool = True
    learn_edges: bool = True
    drop_path_rate: float = 0.0
    act: str = "hardswish"
    fusion: str = "concat"
    ib: str = "none"
    bodies: str = "first"
    legacy_partition: bool = False

    def __post_init__(self) -> None:
        check_per_stage(self, names=("widths", "blocks", "strides", "use_st_att", "hybrid_gate"))
        for option, known in (("fusion", FUSIONS), ("ib", BOTTLENECKS), ("bodies", BODIES)):
            check_choice(option, getattr(self, option), known)


class Block(nn.Module):
    """Graph conv, activation, temporal conv, gates, drop path, plus residual: (N, C_in, T, V) -> (N, C_out, T/s, V)."""

    def __init__(
        self, channels: tuple[int, int], *, gcn: SpatialGCN, stage: int, stride: int, drop: float, o: Options
    ) -> None:
        super().__init__()
        channels_in, channels_out = channels
        self.gcn = gcn
        self.act = activation(o.act)
        self.tcn = EpSepTCN(channels_out, stride=stride, expand=o.expand, act=o.act)
        self.gate: nn.Identity | MotionGate = nn.Identity()
        if o.motion_gate:
            self.gate = (HybridGate if o.hybrid_gate[stage] else MotionGate)(channels_out)
        self.st_att = JointAttention(channels_out) if o.use_st_att[stage] else nn.Identity()
        self.drop_path: nn.Module = DropPath(drop)
        same = stride == 1 and channels_in == channels_out
        self.residual: nn.Module = (
            nn.Identity() if same else strided_projection(channels_in, channels_out, stride=stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn(self.act(self.gcn(x)))
        return self.drop_path(self.st_att(self.gate(y))) + self.residual(x)

    def deployed(self, frames: int) -> Self:
        """Itself, every part in its deployed form. frames: those that its temporal part leaves."""
        channel = None if isinstance(self.gate, nn.Identity) else self.gate.deployed(frames)
        joint = None if isinstance(self.st_att, nn.Identity) else self.st_att.deployed()
        self.gcn, self.tcn = self.gcn.deployed(), self.tcn.deployed()  # type: ignore[assignment]
        self.gate = EdgeGates(channel=channel, joint=joint)  # type: ignore[assignment]
        self.st_att, self.drop_path = nn.Identity(), nn.Identity()
        self.residual = projection(self.residual)
        return self

    @property
    def sees_whole_clip(self) -> bool:
        """Whether a gate or the subset attention pools over all frames."""
        return self.gcn.attention is not None or not all(
            isinstance(gate, nn.Identity) for gate in (self.gate, self.st_att)
        )


class DropPath(nn.Module):
    """In training, zero a sample's branch with probability `rate` and rescale the kept ones by 1 / (1 - rate)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> same."""
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        coin = torch.rand((x.shape[0],) + (1,) * (x.dim() - 1), device=x.device) < keep
        return x * coin.to(x.dtype) / keep


def ramp(highest: float, blocks: int) -> list[float]:
    """Drop rates of `blocks` blocks, linear from 0 to `highest`."""
    return [highest * index / max(blocks - 1, 1) for index in range(blocks)]


class LastBody(Body):
    """Streams (N, S*C, T, V) -> logits (N, K); of (N, M, S*C, T, V) the bodies that `options.bodies` says."""

    def __init__(self, spec: InputSpec, classes: int, options: Options) -> None:
        super().__init__()
        self.options = options
        self.lookahead = int("velocity" in spec.streams)
        fusion = FUSIONS[options.fusion]
        self.fusion = fusion(streams=len(spec.streams), axes=spec.channels, channels=options.stem)
        o, drops = options, iter(ramp(options.drop_path_rate, sum(options.blocks)))
        adjacency = spatial_partition(spec.layout, max_hop=o.max_hop, legacy=o.legacy_partition)

        def block(channels: tuple[int, int], stride: int, stage: int) -> Block:
            gcn = SpatialGCN(
                *channels, adjacency=adjacency, learn_edges=o.learn_edges, subset_attention=o.subset_attention
            )
            return Block(channels, gcn=gcn, stage=stage, stride=stride, drop=next(drops), o=o)

        self.stages = nn.ModuleList(stack(o.stem, block, widths=o.widths, blocks=o.blocks, strides=o.strides))
        self.head = GatedHead(options.widths[-1], classes, dropout=options.dropout, ib=options.ib)
        initialise(self)

    def stage_features(self, streams: Tensor) -> list[Tensor]:
        """The feature map after each stage, (N, C_i, T_i, V), of one body's streams (N, S*C, T, V)."""
        features = [self.fusion(streams)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[1:]

    def forward(self, streams: Tensor) -> Tensor:
        return self._maps_and_logits(self._bodies(streams))[1]

    def bodies_read(self, spec: InputSpec) -> int:
        return 1 if self.options.bodies == "first" else spec.bodies

    def deployed(self, spec: InputSpec) -> Self:
        self.fold_stages(spec.frames)
        self.head = self.head.deployed(bodies=self.bodies_read(spec))  # type: ignore[assignment]
        return self

    def fold_stages(self, frames: int) -> None:
        """Fusion and stages in their deployed form, for streams of `frames` frames."""
        self.fusion = self.fusion.deployed()  # type: ignore[assignment]
        for block in [module for module in self.stages.modules() if isinstance(module, Block)]:
            frames = -(-frames // block.tcn.depthwise.stride[0])
            block.deployed(frames)

    def stage_widths(self) -> tuple[int, ...]:
        return self.options.widths

    def features_and_logits(self, streams: Tensor) -> tuple[list[Tensor], Tensor]:
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
        maps = self.stage_features(streams.reshape(-1, *streams.shape[2:]))
        by_body = self.head.pool(maps[-1]).reshape(-1, streams.shape[1], self.options.widths[-1])
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


def stack(
    channels: int, block: Callable[[tuple[int, int], int, int], nn.Module], *, widths: tuple[int, ...],
    blocks: tuple[int, ...], strides: tuple[int, ...],
) -> list[nn.Sequential]:  # fmt: skip
    """A body's stages, from so many channels on; block: makes one of its channels in and out, its stride and its stage.

    The first block of a stage has its stride and widens.
    """
    stages = []
    for stage, (width, depth, stride) in enumerate(zip(widths, blocks, strides, strict=True)):
        made = []
        for index in range(depth):
            made.append(block((channels, width), stride if index == 0 else 1, stage))
            channels = width
        stages.append(nn.Sequential(*made))
    return stages


def build(spec: InputSpec, classes: int, variant: Options, options: dict[str, Any]) -> LandmarkModel:
    """A model of this family from a variant and the caller's changes to it."""
    return LandmarkModel(spec, LastBody(spec, classes, adjust(variant, options)))


def initialise(model: nn.Module) -> None:
    """Convolutions kaiming-normal over fan-out, linear layers N(0, 0.01), batch norms 1 and 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


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


@register_model
def last_e_base(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """720,028 parameters at 25 joints and 60 classes, 687,004 once trained."""
    variant = Options(
        stem=48, widths=(64, 96, 128), blocks=(2, 2, 2), max_hop=2, dropout=0.3, drop_path_rate=0.05,
        subset_attention=True, ib="norm",
    )  # fmt: skip
    return build(spec, classes, variant, options)


@register_model
def last_e_large(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """1,080,668 parameters at 25 joints and 60 classes, 1,039,452 once trained; its last stage reads the spectrum."""
    variant = Options(
        stem=48, widths=(80, 112, 160), blocks=(2, 2, 2), max_hop=2, dropout=0.3, drop_path_rate=0.1,
        subset_attention=True, hybrid_gate=(False, False, True), ib="norm",
    )  # fmt: skip
    return build(spec, classes, variant, options)


def lite(*, stem: int, widths: tuple[int, ...], blocks: tuple[int, ...], max_hop: int, dropout: float) -> Options:
    """A variant with constant graph, no gates, no attention; ReLU because it quantises."""
    return Options(
        stem=stem, widths=widths, blocks=blocks, max_hop=max_hop, dropout=dropout, use_st_att=(False, False, False),
        motion_gate=False, learn_edges=False, act="relu",
    )  # fmt: skip


@register_model
def last_lite_nano(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """65,654 parameters at 60 classes."""
    variant = lite(stem=24, widths=(32, 48, 64), blocks=(1, 1, 1), max_hop=1, dropout=0.1)
    return build(spec, classes, variant, options)


@register_model
def last_lite_small(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """297,934 parameters at 60 classes."""
    variant = lite(stem=32, widths=(48, 72, 96), blocks=(1, 2, 2), max_hop=2, dropout=0.15)
    return build(spec, classes, variant, options)


@register_model
def last_lite_trim(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """187,614 parameters at 60 classes: narrower and one hop."""
    variant = lite(stem=32, widths=(48, 64, 80), blocks=(1, 2, 2), max_hop=1, dropout=0.15)
    return build(spec, classes, variant, options)
