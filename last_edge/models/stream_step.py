"""One frame of a streaming model in the form that is exported: the same function in few nodes, without a time axis.

Centre, limb, bones and velocities of a frame are products of its points, and of those before, with a constant matrix;
whether each of them is known is such a product of what is seen. Everything behind the joints is a vector a person.
"""

import torch
from torch import Tensor, nn

from last_edge.models.last_lite_stream import SMALLEST_SIZE, CausalFront, LastLiteStream
from last_edge.models.layers.causal import CausalBlock
from last_edge.models.layers.gcn import EdgeGraphConv

ALL_SEEN = 0.999


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
        stem = model.stem.weight.flatten(1)
        self.stem = _parameter(stem[:, [*order, channels * streams]])
        self.stem_bias = _parameter(_bias(model.stem)[:, None])
        self.adjacency = _parameter(model.gcn.graph)
        taps = model.gcn.taps
        subsets, joints = taps.kernel_size[1], model.spec.layout.joints
        self.joints, self.subsets, self.width = joints, subsets, model.options.width
        # (N, C, K V) -> (N, C, K, V) -> one product with (C', C K).
        self.mixed = _parameter(taps.weight[:, :, 0].flatten(1))
        self.mixed_bias = _parameter(_bias(taps)[:, None])
        self.readouts = model.options.readouts
        by_channel = model.readout.weight[:, 0, 0].reshape(-1, self.readouts, joints)
        self.readout = _parameter(by_channel.transpose(1, 2))
        self.readout_bias = _parameter(_bias(model.readout)[None])
        self.mix = _linear(model.mix)
        self.blocks = nn.ModuleList(BlockStep(block) for block in model.blocks)  # type: ignore[arg-type]
        self.head = _linear(model.head)

    def forward(self, landmarks_t: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        points, seen, running, *maps = state
        joints, whole, *after = self.front(landmarks_t, points, seen, running)
        x = torch.relu(torch.matmul(self.stem, joints) + self.stem_bias)
        x = torch.matmul(x, self.adjacency).reshape(-1, self.mixed.shape[1], self.joints)
        x = torch.relu(torch.matmul(self.mixed, x) + self.mixed_bias)
        x = torch.matmul(x[:, :, None], self.readout).flatten(1)
        x = torch.cat([torch.relu(x + self.readout_bias), whole], dim=1)
        x = torch.relu(self.mix(x))
        for block, before in zip(self.blocks, maps, strict=True):
            x, kept = block(x, before)
            after.append(kept)
        out = self.head(torch.relu(x))
        logits, elapsed = out[:, :-1], nn.functional.softplus(out[:, -1], threshold=1e6)
        return logits, elapsed, *after


class BlockStep(nn.Module):
    """One frame of a `CausalBlock`: (N, C) and the frames before it (N, C, reach, 1) -> (N, C) and the next ones."""

    def __init__(self, block: CausalBlock) -> None:
        super().__init__()
        depthwise = block.depthwise
        self.step = depthwise.dilation[0]
        self.filter = _parameter(depthwise.weight[None, :, 0])
        self.expand, self.project = _linear(block.expand), _linear(block.project)
        self.expand.bias.data += self.expand.weight @ _bias(depthwise)

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        window = torch.cat([before, x[:, :, None, None]], dim=2)
        y = (window[:, :, :: self.step] * self.filter).sum(dim=(2, 3))
        return x + self.project(torch.relu(self.expand(y))), window[:, :, 1:]


class FrontStep(nn.Module):
    """One frame of a `CausalFront`: points (N, V, C) and its state -> joints, whole and the next state's tensors.

    joints: (N, C*S + 1, V), channels by axis, within each by stream, and last whether it is seen. whole: (N, 2C + 1).
    """

    def __init__(self, front: CausalFront) -> None:
        super().__init__()
        spec, layout = front.spec, front.spec.layout
        joints = layout.joints
        self.streams, self.channels, self.joints = len(spec.streams), spec.channels, joints
        eye = torch.eye(joints)
        centre = eye[list(layout.centre)].mean(0)
        ends = [eye[list(end)].mean(0) for end in layout.scale or ()]
        scaled = spec.scale != "none" and layout.scale is not None
        limb = ends[0] - ends[1] if scaled else torch.zeros(joints)
        limb_read = (ends[0] + ends[1]) / 2 if scaled else torch.zeros(joints)
        nothing = torch.zeros(joints, joints)
        parents = eye[torch.tensor(layout.parents)]
        made = {
            "joint": (eye - centre, nothing, (eye + centre) / 2, nothing),
            "velocity": (eye, -eye, eye / 2, eye / 2),
            "bone": (eye - parents, nothing, (eye + parents) / 2, nothing),
        }
        rows = [made[name] for name in spec.streams]
        none = torch.zeros(joints)
        whole = [(centre, none, centre, none), (centre, -centre, centre / 2, centre / 2), (limb, none, limb_read, none)]
        rows += [tuple(part[None] for part in parts) for parts in whole]  # type: ignore[misc]
        now, before, seen_now, seen_before = (torch.cat(parts) for parts in zip(*rows, strict=True))
        self.place = _parameter(torch.cat([now, before], dim=1).t())
        self.known = _parameter(torch.cat([seen_now, seen_before], dim=1).t())
        running, count = front.running, spec.channels + 1
        self.patience = float(running.patience)
        # What is known, limb and centre, to the share by which each sum and each weight moves.
        share = torch.zeros(2, 2 * count)
        share[0, [0, count]] = running.share[0]
        share[1, 1:count] = share[1, count + 1 :] = running.share[1:]
        self.share = _parameter(share)
        self.values = _parameter(torch.cat([torch.eye(count), torch.zeros(count, count)], dim=1))
        self.ones = _parameter(torch.cat([torch.zeros(count), torch.ones(count)])[None])
        self.count = count

    def forward(self, points: Tensor, before: Tensor, seen_before: Tensor, running: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        channels, end = self.channels, self.streams * self.joints
        missing = torch.isnan(points.sum(dim=2, keepdim=True))
        place = torch.where(missing, 0.0, points)
        seen = torch.where(missing, 0.0, 1.0)
        both = torch.cat([place, before], dim=1).transpose(1, 2)
        seen_row = torch.cat([seen, seen_before], dim=1).transpose(1, 2)
        known = (torch.matmul(seen_row, self.known) > ALL_SEEN).to(points.dtype)
        made = torch.matmul(both, self.place) * known
        centre, moved, limb = made[:, :, end], made[:, :, end + 1], made[:, :, end + 2]
        centre_known = known[:, :, end]
        length = limb.square().sum(dim=1, keepdim=True).sqrt()
        length_known = (length > SMALLEST_SIZE).to(points.dtype)
        # The running means.
        sums, unseen = running[:, : 2 * self.count], running[:, 2 * self.count :]
        unseen = ((unseen + 1.0) * (1.0 - seen.amax(dim=1))).clamp(max=self.patience)
        kept = (unseen < self.patience).to(points.dtype)
        share = torch.matmul(torch.cat([length_known, centre_known], dim=1), self.share)
        target = torch.matmul(torch.cat([length, centre], dim=1), self.values) + self.ones
        sums = kept * (sums + share * (target - sums))
        means = sums[:, : self.count] / sums[:, self.count :].clamp(min=1e-6)
        size = means[:, :1]
        unit = torch.where(size > SMALLEST_SIZE, size, 1.0)
        joints = (made[:, :, :end] / unit[:, :, None]).reshape(-1, channels * self.streams, self.joints)
        joints = torch.cat([joints, seen_row[:, :, : self.joints]], dim=1)
        away = (centre - means[:, 1:]) * centre_known
        whole = torch.cat([torch.cat([away, moved], dim=1) / unit, centre_known], dim=1)
        return joints, whole, place, seen, torch.cat([sums, unseen], dim=1)


def _parameter(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.detach().float().contiguous(), requires_grad=False)


def _bias(conv: nn.Module) -> Tensor:
    assert isinstance(conv, nn.Conv2d)
    return torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().float()


def _linear(conv: nn.Module) -> nn.Linear:
    """A pointwise convolution of vectors."""
    assert isinstance(conv, nn.Conv2d)
    made = nn.Linear(conv.in_channels, conv.out_channels)
    made.weight.data, made.bias.data = conv.weight.detach().float().flatten(1), _bias(conv)
    return made.requires_grad_(False)
