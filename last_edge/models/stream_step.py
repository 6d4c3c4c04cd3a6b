"""One frame of a streaming model in the form that is exported: the same function in few nodes, without a time axis.

At one frame a node's call costs more than its arithmetic. Bones and velocities are products of a frame's points, and
of those before, with a constant matrix. One convolution of what is seen says which of them are known, another how far
the running means move. Behind the joints all is a vector a person; one tensor holds the frames that blocks remember.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from last_edge.models.last_lite_stream import SMALLEST_SIZE, CausalFront, LastLiteStream
from last_edge.models.layers.causal import CausalBlock, CausalDepthwise
from last_edge.models.layers.gcn import EdgeGraphConv

NOTHING = 1e-30
"""Sum and weight of a running mean before any number was known: far below one of a known number."""


class StreamStep(nn.Module):
    """Points (N, V, C), NaN where missing, and the state's tensors -> logits, elapsed and the next state's tensors.

    model: of `LastLiteStream.deployed`. names: of the state's tensors, in the order of inputs and outputs.
    """

    def __init__(self, model: LastLiteStream) -> None:
        super().__init__()
        self.names = tuple(model.initial_state(1))
        self.front = FrontStep(model.front)
        assert isinstance(model.gcn, EdgeGraphConv)
        channels, streams = model.spec.channels, len(model.spec.streams)
        # The front gives an axis of all streams after the other, and what is seen last.
        order = [stream * channels + axis for axis in range(channels) for stream in range(streams)]
        stem = model.stem.weight.flatten(1)[:, [*order, channels * streams]]
        self.stem = _conv(stem[..., None], _bias(model.stem))
        self.adjacency = _parameter(model.gcn.graph)
        taps = model.gcn.taps
        self.joints = model.spec.layout.joints
        # (N, C, K V) -> (N, C K, V) -> one product with (C', C K).
        self.mixed = _conv(taps.weight[:, :, 0].flatten(1)[..., None], _bias(taps))
        self.readout = _conv(model.readout.weight[:, :, 0], _bias(model.readout), groups=model.options.graph)
        self.mix = _linear(model.mix)
        self.past = PastStep(model)
        self.blocks = nn.ModuleList(BlockStep(block) for block in model.blocks)  # type: ignore[arg-type]
        # softplus(x) is the logarithm of exp(x) + exp(0): the head gives x and a 0 behind the logits.
        head = _linear(model.head)
        self.classes = head.out_features - 1
        self.head = _as_linear(
            torch.cat([head.weight, torch.zeros(1, head.in_features)]), torch.cat([head.bias, torch.zeros(1)])
        )

    def forward(self, landmarks_t: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        points, seen, running, past = state
        joints, whole, *after = self.front(landmarks_t, points, seen, running)
        x = torch.matmul(torch.relu(self.stem(joints)), self.adjacency)
        x = torch.relu(self.mixed(x.reshape(-1, self.mixed.in_channels, self.joints)))
        x = torch.cat([torch.relu(self.readout(x)), *whole], dim=1).flatten(1)
        x, newest = torch.relu(self.mix(x)), []
        for block, before in zip(self.blocks, self.past.filtered(past), strict=True):
            newest.append(x)
            x = block(x, before)
        logits, begun = self.head(torch.relu(x)).split([self.classes, 2], dim=1)
        return logits, torch.logsumexp(begun, dim=1), *after, self.past.after(past, newest)


class PastStep(nn.Module):
    """What all blocks remember: (N, R C), of each block the frames that it reaches, oldest first, C numbers a frame."""

    def __init__(self, model: LastLiteStream) -> None:
        super().__init__()
        filters: list[CausalDepthwise] = [block.depthwise for block in model.blocks]  # type: ignore[misc]
        reaches = [each.reach for each in filters]
        self.frames, self.width, self.blocks = sum(reaches), model.options.width, len(reaches)
        starts = [sum(reaches[:place]) for place in range(len(reaches))]
        self.taps = model.options.taps - 1
        rows = [
            start + tap * each.dilation[0]
            for tap in range(self.taps)
            for start, each in zip(starts, filters, strict=True)
        ]
        self.register_buffer("rows", torch.tensor(rows))
        self.ones = _parameter(torch.ones(1, self.taps))
        by_tap = torch.stack([each.weight[:, 0, :-1, 0].t() for each in filters], dim=1)
        self.filter = _parameter(by_tap.flatten(0, 1))
        self.pieces = [count * self.width for reach in reaches for count in (1, reach - 1)]

    rows: Tensor

    def filtered(self, past: Tensor) -> tuple[Tensor, ...]:
        """(N, C) of each block: what its filter makes of the frames before this one."""
        read = past.reshape(-1, self.frames, self.width).index_select(1, self.rows) * self.filter
        by_tap = read.reshape(-1, self.taps, self.blocks * self.width)
        # A product with ones is quicker than a sum over this axis.
        summed = torch.matmul(self.ones, by_tap).reshape(-1, self.blocks * self.width)
        return torch.split(summed, self.width, dim=1)

    def after(self, past: Tensor, newest: Sequence[Tensor]) -> Tensor:
        """The next past: without each block's oldest frame, with its newest, (N, C)."""
        kept = torch.split(past, self.pieces, dim=1)[1::2]
        return torch.cat([part for pair in zip(kept, newest, strict=True) for part in pair], dim=1)


class BlockStep(nn.Module):
    """One frame of a `CausalBlock`: (N, C) and what its filter makes of those before, (N, C) -> (N, C)."""

    def __init__(self, block: CausalBlock) -> None:
        super().__init__()
        depthwise = block.depthwise
        self.newest = _parameter(depthwise.weight[None, :, 0, -1, 0])
        self.expand, self.project = _linear(block.expand), _linear(block.project)
        self.expand.bias.data += self.expand.weight @ _bias(depthwise)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """See the class."""
        y = x * self.newest + before
        return x + self.project(torch.relu(self.expand(y)))


class FrontStep(nn.Module):
    """One frame of a `CausalFront`: points (N, V, C) and its state -> joints, whole and the next state's tensors.

    joints: (N, C*S + 1, V), channels by axis, within each by stream, and last whether it is seen. whole: two parts,
    (N, 2C, 1) and (N, 1, 1).
    """

    def __init__(self, front: CausalFront) -> None:
        super().__init__()
        spec, layout = front.spec, front.spec.layout
        joints = layout.joints
        self.streams, self.channels, self.joints = len(spec.streams), spec.channels, joints
        eye, none = torch.eye(joints), torch.zeros(joints)
        centre = eye[list(layout.centre)].mean(0)
        ends = [eye[list(end)].mean(0) for end in layout.scale or ()]
        scaled = spec.scale != "none" and layout.scale is not None
        limb = ends[0] - ends[1] if scaled else none
        limb_read = ends[0] + ends[1] if scaled else none
        nothing, parents = torch.zeros(joints, joints), eye[torch.tensor(layout.parents)]
        # Of each row the points now and before that make it, and those that must be seen for it.
        made = {
            "joint": (eye - centre, nothing, eye + centre, nothing),
            "velocity": (eye, -eye, eye, eye),
            "bone": (eye - parents, nothing, eye + parents, nothing),
        }
        rows = [made[name] for name in spec.streams]
        whole = [(centre, none, centre, none), (centre, -centre, centre, centre), (limb, none, limb_read, none)]
        rows += [tuple(part[None] for part in parts) for parts in whole]  # type: ignore[misc]
        now, before, seen_now, seen_before = (torch.cat(parts) for parts in zip(*rows, strict=True))
        self.place = _parameter(torch.cat([now, before], dim=1).t())
        running, count = front.running, spec.channels + 1
        self.known = _known(torch.cat([seen_now, seen_before], dim=1) > 0, centre > 0, running.width, running.patience)
        self.patience = float(running.patience)
        self.pieces = [len(now), 1, 1, 1]
        # Length, centre, whether they are known, whether all goes on, unseen frames -> of each number of the state the
        # factor of what it was and what is added: total += share (value - total), weight += share (1 - weight).
        factor, added = torch.zeros(2 * count + 1, count + 4), torch.zeros(2 * count + 1, count + 4)
        for place, share in enumerate(running.share.tolist()):
            is_known = count + (place > 0)
            for number in (place, count + place):
                factor[number, [is_known, count + 2]] = torch.tensor([-share, 1.0])
            added[place, place], added[count + place, is_known] = share, share
        added[2 * count, count + 3] = 1.0
        # Where nothing is known yet a mean is NOTHING / NOTHING, 1: that is the unit then, and no place is read there.
        nothing_yet = torch.zeros(4 * count + 2)
        nothing_yet[2 * count + 1 : -1] = NOTHING
        self.moved = _conv(torch.cat([factor, added])[..., None], nothing_yet)
        self.count = count

    def forward(self, points: Tensor, before: Tensor, seen_before: Tensor, running: Tensor) -> tuple[object, ...]:
        """See the class."""
        channels, count, end = self.channels, self.count, self.streams * self.joints
        missing = torch.isnan(points.sum(dim=2, keepdim=True))
        place = torch.where(missing, 0.0, points)
        seen = missing.logical_not().to(points.dtype)
        columns = self.known(torch.cat([seen, seen_before, running], dim=1)).clamp(0.0, self.patience)
        known, centre_known, unseen, left = columns.reshape(-1, 1, sum(self.pieces)).split(self.pieces, dim=2)
        made = torch.matmul(torch.cat([place, before], dim=1).transpose(1, 2), self.place) * known
        streams, centre, moved, limb = made.split([end, 1, 1, 1], dim=2)
        length = torch.linalg.vector_norm(limb, dim=1, keepdim=True)
        length = torch.where(length > SMALLEST_SIZE, length, 0.0)
        # The running means.
        found = [length, centre, torch.sign(length), centre_known, left.clamp(max=1.0), unseen]
        factor, added = self.moved(torch.cat(found, dim=1)).split(2 * count + 1, dim=1)
        after = running * factor + added
        total, weight, _ = after.split([count, count, 1], dim=1)
        unit, running_place = (total / weight).split([1, channels], dim=1)
        joints = (streams / unit).reshape(-1, channels * self.streams, self.joints)
        joints = torch.cat([joints, seen.reshape(-1, 1, self.joints)], dim=1)
        away = centre - running_place * centre_known
        whole = torch.cat([away, moved], dim=1) / unit, centre_known
        return joints, whole, place, seen, after


def _known(needed: Tensor, centre: Tensor, running: int, patience: int) -> nn.Conv1d:
    """Of the points seen now and before, 1 or 0, and the running means' state -> whether each row's points are there.

    needed: (rows, 2 V). With values cut to 0..patience: of each row 1 where all that it needs is seen; whether the
    centre is known; frames in a row in which nothing was seen, and how many more of them there may be.
    running: numbers of the state, of which the last counts the frames in which nothing was seen.
    """
    joints = len(centre)
    rows = torch.cat([needed, torch.cat([centre, torch.zeros_like(centre)])[None]]).float()
    ones, enough = rows.sum(1), patience + 1.0
    weight = torch.zeros(len(rows) + 2, 2 * joints + running)
    weight[:-2, : 2 * joints] = rows
    weight[-2:, :joints] = torch.tensor([[-enough], [enough]])
    weight[-2:, -1] = torch.tensor([1.0, -1.0])
    bias = torch.cat([(1.0 - ones) * (ones > 0), torch.tensor([1.0, patience - 1.0])])
    return _conv(weight[..., None], bias)


def _parameter(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.detach().float().contiguous(), requires_grad=False)


def _bias(conv: nn.Module) -> Tensor:
    assert isinstance(conv, nn.Conv2d)
    return torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().float()


def _conv(weight: Tensor, bias: Tensor, *, groups: int = 1) -> nn.Conv1d:
    """A convolution of a weight (C', C / groups, taps): a runtime runs product, bias and ReLU as one node."""
    out, width, taps = weight.shape
    made = nn.Conv1d(width * groups, out, taps, groups=groups)
    made.weight.data, made.bias.data = weight.detach().float().contiguous(), bias.detach().float()  # type: ignore[union-attr]
    return made.requires_grad_(False)


def _as_linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0])
    made.weight.data, made.bias.data = weight.detach().float().contiguous(), bias.detach().float()
    return made.requires_grad_(False)


def _linear(conv: nn.Module) -> nn.Linear:
    """A pointwise convolution of vectors."""
    assert isinstance(conv, nn.Conv2d)
    return _as_linear(conv.weight.flatten(1), _bias(conv))
