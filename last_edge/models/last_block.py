"""The block that LAST-E and LAST-Lite repeat, and the options that shape it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from last_edge.models.layers.activation import activation
from last_edge.models.layers.bodies import BODIES
from last_edge.models.layers.bottleneck import BOTTLENECKS
from last_edge.models.layers.drop_path import DropPath
from last_edge.models.layers.fusion import FUSIONS
from last_edge.models.layers.gates import HybridGate, JointAttention, MotionGate
from last_edge.models.layers.gcn import SpatialGCN
from last_edge.models.layers.temporal import EpSepTCN, strided_projection
from last_edge.models.options import check_choice, check_per_stage


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
        self.gate = _gate(channels_out, stage, o)
        self.st_att: nn.Module = JointAttention(channels_out) if o.use_st_att[stage] else nn.Identity()
        self.drop_path = DropPath(drop)
        same = stride == 1 and channels_in == channels_out
        self.residual: nn.Module = (
            nn.Identity() if same else strided_projection(channels_in, channels_out, stride=stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = self.tcn(self.act(self.gcn(x)))
        return self.drop_path(self.st_att(self.gate(y))) + self.residual(x)  # type: ignore[no-any-return]

    @property
    def sees_whole_clip(self) -> bool:
        """Whether a gate or the subset attention pools over all frames."""
        return self.gcn.attention is not None or not all(
            isinstance(gate, nn.Identity) for gate in (self.gate, self.st_att)
        )


def _gate(channels: int, stage: int, o: Options) -> nn.Module:
    if not o.motion_gate:
        return nn.Identity()
    return HybridGate(channels) if o.hybrid_gate[stage] else MotionGate(channels)
