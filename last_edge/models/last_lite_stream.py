"""LAST-Lite for streams: the same block parts made causal, an answer at every frame and a state of fixed size."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.inputs.spec import InputSpec
from last_edge.models.last_body import initialise
from last_edge.models.layers.causal import CausalBlock, RunningMeans
from last_edge.models.layers.folding import bn_conv, conv_bn, scale_and_shift
from last_edge.models.layers.gcn import FrameGraphConv
from last_edge.models.layers.pointwise import JointReadout, Pointwise
from last_edge.models.registry import adjust, register_streamer
from last_edge.skeleton.layout import spatial_partition

State = dict[str, Tensor]
SMALLEST_SIZE = 1e-6
BYTES = 4


class Answer(NamedTuple):
    """Of each frame. logits: (N, [T,] K). elapsed: (N, [T]) seconds since the gesture that is shown began."""

    logits: Tensor
    elapsed: Tensor


@dataclass(frozen=True)
class StreamOptions:
    """Widths of a streaming body.

    rate: frames a second that the network counts in; a source of another rate is resampled by its time stamps.
    stem, graph: channels a joint before and after the graph convolution of `max_hop`. readouts: weighted sums over the
    joints of each channel. width, hidden: channels of the temporal blocks and of their wide part. taps, dilations: of
    their filters. size_memory_s, place_memory_s: seconds that the running size and the running place look back.
    patience_s: seconds without any point after which both are forgotten. delay: frames that an answer comes after the
    frame that it is for.
    """

    stem: int
    graph: int
    width: int
    hidden: int
    dilations: tuple[int, ...]
    dropout: float
    rate: float = 25.0
    readouts: int = 4
    taps: int = 5
    max_hop: int = 1
    size_memory_s: float = 2.0
    place_memory_s: float = 0.6
    patience_s: float = 0.5
    delay: int = 0


class CausalFront(nn.Module):
    """Raw points to what the body reads, from this frame and those before it.

    Points (N, T, V, C), NaN where missing -> of each joint the streams of the specification and whether it is seen,
    (N, S*C + 1, T, V), and of the whole the way of its centre from its running place, the centre's velocity and
    whether it is seen, (N, 2C + 1, T, 1). All lengths are in units of the running size where the specification scales.
    A missing point lies at the centre, with no velocity and no bone.
    """

    parents: Tensor

    def __init__(self, spec: InputSpec, options: StreamOptions) -> None:
        super().__init__()
        _check(spec)
        self.spec = spec
        memory = (options.size_memory_s, *[options.place_memory_s] * spec.channels)
        patience = max(1, round(options.patience_s * options.rate))
        self.running = RunningMeans(tuple(seconds * options.rate for seconds in memory), patience=patience)
        self.register_buffer("parents", torch.tensor(spec.layout.parents), persistent=False)

    @property
    def widths(self) -> tuple[int, int]:
        """Channels of a joint and of the whole."""
        return len(self.spec.streams) * self.spec.channels + 1, 2 * self.spec.channels + 1

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of one person: the points of the frame before, 0 where missing, which were seen, and the running means."""
        joints = self.spec.layout.joints
        return {"points": (joints, self.spec.channels), "seen": (joints, 1), "running": (self.running.width, 1)}

    def step(self, points: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """See the class."""
        spec = self.spec
        missing = torch.isnan(points).any(-1, keepdim=True)
        seen = (~missing).to(points.dtype)
        place = torch.where(missing, 0.0, points)
        before = torch.cat([state["points"][:, None], place[:, :-1]], dim=1)
        seen_before = torch.cat([state["seen"][:, None], seen[:, :-1]], dim=1)
        centre, centre_seen = _mean(place, seen, spec.layout.centre)
        centre_before, centre_seen_before = _mean(before, seen_before, spec.layout.centre)
        length, length_seen = self._length(place, seen)
        means, running = self.running.step(
            torch.cat([length, centre], dim=-1),
            torch.cat([length_seen, *[centre_seen] * spec.channels], dim=-1),
            seen.amax(dim=2),
            state["running"][..., 0],
        )
        size = means[..., None, :1]
        unit = 1.0 / torch.where(size > SMALLEST_SIZE, size, 1.0)
        streams = {
            "joint": (place - centre[:, :, None]) * seen * centre_seen[:, :, None],
            "velocity": (place - before) * seen * seen_before,
            "bone": (place - place[:, :, self.parents]) * seen * seen[:, :, self.parents],
        }
        joints = torch.cat([*(streams[name] * unit for name in spec.streams), seen], dim=-1)
        moved = (centre - centre_before) * centre_seen * centre_seen_before
        away = (centre - means[..., 1:]) * centre_seen
        whole = torch.cat([away * unit[:, :, 0], moved * unit[:, :, 0], centre_seen], dim=-1)
        after = {"points": place[:, -1], "seen": seen[:, -1], "running": running[..., None]}
        return joints.permute(0, 3, 1, 2), whole[:, :, None].permute(0, 3, 1, 2), after

    def _length(self, place: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T, 1) length of the scale limb and 1 where it is seen; lengths stay 0 where nothing is scaled."""
        if self.spec.scale == "none" or self.spec.layout.scale is None:
            return torch.zeros_like(seen[:, :, 0]), torch.zeros_like(seen[:, :, 0])
        (one, one_seen), (other, other_seen) = (_mean(place, seen, ends) for ends in self.spec.layout.scale)
        length = (one - other).square().sum(dim=-1, keepdim=True).sqrt()
        return length, one_seen * other_seen * (length > SMALLEST_SIZE).to(length.dtype)


def _mean(place: Tensor, seen: Tensor, joints: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean of some joints, (N, T, C), 0 unless all of them are seen, and 1 where they are, (N, T, 1)."""
    parts, there = place[:, :, list(joints)], seen[:, :, list(joints)].amin(dim=2)
    return parts.mean(dim=2) * there, there


def _check(spec: InputSpec) -> None:
    """`UsageError` for a specification that no stream can keep: one that looks at the whole clip, or at several."""
    wanted = {"centre": "frame", "bodies": 1, "scale": "limb or none"}
    fits = spec.centre == "frame" and spec.bodies == 1 and spec.scale in ("limb", "none")
    if not fits:
        got = {name: getattr(spec, name) for name in wanted}
        hint = "--set input.centre=frame --set input.scale=limb"
        raise UsageError("a streaming model takes another input", expected=wanted, got=got, hint=hint)


class LastLiteStream(nn.Module):
    """Points of a person's frames, NaN where missing -> an `Answer` a frame, from this frame and those before it.

    `forward` takes whole clips (N, T, V, C), `forward_steps` some frames more of each of N persons and their state,
    `forward_step` one frame (N, V, C). All three are the same function of the same weights. A state is an ordered
    mapping from names to tensors whose first axis is the persons; every other axis is fixed.
    """

    def __init__(self, spec: InputSpec, classes: int, options: StreamOptions) -> None:
        super().__init__()
        self.spec, self.classes, self.options, o = spec, classes, options, options
        self.front = CausalFront(spec, o)
        joint_width, whole_width = self.front.widths
        self.joint_bn: nn.Module = nn.BatchNorm2d(joint_width - 1)
        self.stem: nn.Conv2d = Pointwise(joint_width, o.stem)
        self.stem_bn: nn.Module = nn.BatchNorm2d(o.stem)
        adjacency = spatial_partition(spec.layout, max_hop=o.max_hop)
        self.gcn: nn.Module = FrameGraphConv(o.stem, o.graph, adjacency=adjacency, learn_edges=False)
        read = o.graph * o.readouts
        self.readout: nn.Conv2d = JointReadout(o.graph, joints=spec.layout.joints, sums=o.readouts)
        self.readout_bn: nn.Module = nn.BatchNorm2d(read)
        self.whole_bn: nn.Module = nn.BatchNorm2d(whole_width - 1)
        self.mix: nn.Conv2d = Pointwise(read + whole_width, o.width)
        self.mix_bn: nn.Module = nn.BatchNorm2d(o.width)
        self.blocks = nn.ModuleList(
            CausalBlock(o.width, hidden=o.hidden, taps=o.taps, dilation=dilation, dropout=o.dropout)
            for dilation in o.dilations
        )
        self.head: nn.Conv2d = Pointwise(o.width, classes + 1, bias=True)
        initialise(self)
        nn.init.normal_(self.head.weight, 0.0, 0.01)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    @property
    def rate(self) -> float:
        """Frames a second that it counts in."""
        return self.options.rate

    @property
    def receptive_field(self) -> int:
        """Frames that an answer depends on, the newest and the one whose velocity is first among them.

        Counted without the running size and place, whose memory fades and never ends.
        """
        return 1 + sum(self._reaches) + 1

    @property
    def _reaches(self) -> list[int]:
        """Frames before the newest that each block reads."""
        return [block.depthwise.reach for block in self.blocks]  # type: ignore[union-attr, misc]

    @property
    def delay(self) -> int:
        """Frames that an answer comes after the frame it is for."""
        return self.options.delay

    @property
    def state_size(self) -> int:
        """Bytes of one person's state in float32."""
        return BYTES * sum(value.numel() for value in self.initial_state(1).values())

    def initial_state(self, batch: int = 1) -> State:
        """The state before a person's first frame: zeros, one row a person."""
        like = self.head.weight
        shapes: dict[str, tuple[int, ...]] = dict(self.front.state_shapes())
        shapes["past"] = (sum(self._reaches) * self.options.width,)
        return {
            name: torch.zeros(batch, *shape, dtype=like.dtype, device=like.device) for name, shape in shapes.items()
        }

    def forward(self, points: Tensor) -> Answer:
        """Clips (N, T, V, C) from their beginning."""
        return self.forward_steps(points, self.initial_state(len(points)))[0]

    def forward_steps(self, points: Tensor, state: State) -> tuple[Answer, State]:
        """The next T frames (N, T, V, C) of N persons, and the state after them."""
        joints, whole, after = self.front.step(points, state)
        return self.from_streams(joints, whole, state, after)

    def forward_step(self, points: Tensor, state: State) -> tuple[Answer, State]:
        """The next frame (N, V, C) of N persons, and the state after it."""
        answer, after = self.forward_steps(points[:, None], state)
        return Answer(answer.logits[:, 0], answer.elapsed[:, 0]), after

    def from_streams(self, joints: Tensor, whole: Tensor, state: State, after: State) -> tuple[Answer, State]:
        """Answers from what the front gives, and the whole state. after: the front's part of it."""
        flags = joints[:, -1:], whole[:, -1:]
        x = torch.cat([self.joint_bn(joints[:, :-1]), flags[0]], dim=1)
        x = torch.relu(self.gcn(torch.relu(self.stem_bn(self.stem(x)))))
        x = torch.relu(self.readout_bn(self.readout(x)))
        x = torch.cat([x, self.whole_bn(whole[:, :-1]), flags[1]], dim=1)
        x, kept = torch.relu(self.mix_bn(self.mix(x))), []
        past = state["past"].reshape(len(x), -1, self.options.width)
        for block, before in zip(self.blocks, torch.split(past, self._reaches, dim=1), strict=True):
            x, newest = block.step(x, before.transpose(1, 2)[..., None])  # type: ignore[operator]
            kept.append(newest[..., 0].transpose(1, 2))
        after = {**after, "past": torch.cat(kept, dim=1).flatten(1)}
        out = self.head(torch.relu(x))[..., 0].transpose(1, 2)
        return Answer(out[..., :-1], nn.functional.softplus(out[..., -1])), after

    @torch.no_grad()
    def deployed(self) -> Self:
        """A copy to export, on the CPU in eval mode, norms folded into convolutions; the model stays as it is."""
        made = copy.deepcopy(self).cpu().double().eval()
        made._fold()
        return made.float().eval()

    def _fold(self) -> None:
        for norm, conv in (("joint_bn", "stem"), ("whole_bn", "mix")):
            scale, shift = scale_and_shift(getattr(self, norm))
            layer, own = getattr(self, conv), len(scale)
            # Each norm's channels stand just before the last of what the convolution reads, which says what is seen.
            ones = torch.ones(layer.in_channels, dtype=scale.dtype)
            full_scale, full_shift = ones, 0.0 * ones
            full_scale[-1 - own : -1], full_shift[-1 - own : -1] = scale, shift
            setattr(self, conv, bn_conv(full_scale, full_shift, layer))
            setattr(self, norm, nn.Identity())
        for name in ("stem", "readout", "mix"):
            setattr(self, name, conv_bn(getattr(self, name), getattr(self, f"{name}_bn")))
            setattr(self, f"{name}_bn", nn.Identity())
        self.gcn = self.gcn.deployed()  # type: ignore[operator]
        for block in self.blocks:
            block.deployed()  # type: ignore[operator]


def _build(spec: InputSpec, classes: int, variant: StreamOptions, options: dict[str, Any]) -> LastLiteStream:
    return LastLiteStream(spec, classes, adjust(variant, options))


@register_streamer
def last_lite_stream_nano(spec: InputSpec, classes: int, **options: Any) -> LastLiteStream:
    """Under 100,000 parameters; see `StreamOptions`."""
    variant = StreamOptions(stem=16, graph=24, width=64, hidden=112, dilations=(1, 2, 4, 8, 16), dropout=0.1)
    return _build(spec, classes, variant, options)


@register_streamer
def last_lite_stream_small(spec: InputSpec, classes: int, **options: Any) -> LastLiteStream:
    """About three times the parameters of nano."""
    variant = StreamOptions(stem=24, graph=32, width=96, hidden=192, dilations=(1, 2, 4, 8, 16, 1), dropout=0.15)
    return _build(spec, classes, variant, options)
