"""A classifier that keeps its training clips: radial basis functions around them, weighed by ridge regression.

It needs no steps of training and no base: the weights that fit best follow from the clips at once (Broomhead & Lowe
1988; kernel ridge regression). For a handful of takes of one's own gestures it is more accurate than a network, and
what is far from every take activates nothing: the model is then sure of nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from last_edge.inputs.spec import InputSpec
from last_edge.models.hand_features import SignFeatures
from last_edge.models.landmark_model import Body, LandmarkModel
from last_edge.models.layers.folding import with_weights
from last_edge.models.registry import adjust, register_model

SMALLEST = 1e-9


@dataclass(frozen=True)
class Options:
    """Size and settings of a point kernel.

    centres: clips that it keeps; a training sets it to the number of its clips. moments: times at which a clip is
    looked at. blur: deviation of the weights of the frames around a moment, in moments. way: weight of the centre's
    way beside the points around it. sharpness: exponent of a basis function at the median distance between clips of
    gestures. ridge: what large weights cost; background_ridge: those of clips without a gesture. least_spread: added to
    each feature's deviation, in limb lengths. gain: logit of a clip's own class over the others'. reluctance: taken off
    the logits of classes without a gesture, which have many more clips. signer: look at what `SignFeatures` gives of
    both hands, arms and head, in place of all points.
    """

    centres: int = 500
    moments: int = 8
    blur: float = 0.5
    way: float = 2.0
    sharpness: float = 1.0
    ridge: float = 0.005
    background_ridge: float = 0.05
    least_spread: float = 0.3
    gain: float = 10.0
    reluctance: float = 1.0
    signer: bool = False


class ClipFeatures(nn.Module):
    """Joint streams (N, C, T, V) -> (N, F): the points around the layout's centre and the centre's way, at few moments.

    Each moment is a mean over the frames about it that show a point, nearer ones counting more, so gaps are bridged.
    """

    looks: Tensor
    around: Tensor
    share: Tensor

    def __init__(self, spec: InputSpec, options: Options) -> None:
        super().__init__()
        joints, centre = spec.layout.joints, list(spec.layout.centre)
        self.register_buffer("looks", looks(spec.frames, options))
        middle = torch.zeros(joints)
        middle[centre] = 1 / len(centre)
        around = torch.eye(joints) - middle
        self.register_buffer("around", torch.cat([around, options.way * middle[None]]))
        self.channels, self.width = spec.channels, spec.channels * options.moments * (joints + 1)
        self.register_buffer("share", torch.ones(self.width), persistent=False)

    def forward(self, streams: Tensor) -> Tensor:
        joint = streams[:, : self.channels]
        seen = (joint.abs().amax(dim=(1, 3)) > 0).to(joint.dtype)
        weight = nn.functional.linear(seen, self.looks).clamp(min=SMALLEST)
        means = nn.functional.linear(joint.movedim(2, -1), self.looks) / weight[:, None, None]
        return nn.functional.linear(means.movedim(2, -1), self.around).flatten(1)


SHARES = {"around": 1.0, "fingers": 1.0, "body": 0.3, "away": 0.3, "seen": 0.0}
"""What each kind of a signer's features counts in a distance, all of its features together."""


class SignerFeatures(nn.Module):
    """Joint streams (N, C, T, V) about the shoulders -> (N, F): what `SignFeatures` gives, left and right as they are,
    at few moments; means as in `ClipFeatures`, a hand's over frames that show it.

    share: (F,) root of what a standardised feature counts.
    """

    looks: Tensor
    whose: Tensor
    share: Tensor

    def __init__(self, spec: InputSpec, options: Options) -> None:
        super().__init__()
        self.frames = SignFeatures(spec.layout, spec.channels, fingers=True, sides=True)
        columns = self.frames.columns()
        kinds = [kind for kind, _ in columns]
        self.register_buffer("looks", looks(spec.frames, options))
        self.register_buffer("whose", torch.tensor([hand for _, hand in columns]), persistent=False)
        self.seen = [place for place, kind in enumerate(kinds) if kind == "seen"]
        share = torch.tensor([SHARES[kind] / (kinds.count(kind) * options.moments) for kind in kinds]).sqrt()
        self.register_buffer("share", share.repeat(options.moments), persistent=False)
        self.channels, self.width = spec.channels, options.moments * len(columns)

    def forward(self, streams: Tensor) -> Tensor:
        joint = streams[:, : self.channels]
        frames = self.frames(joint)
        there = (joint.abs().amax(dim=(1, 3)) > 0).to(joint.dtype)
        counts = torch.stack([*(frames[..., place] for place in self.seen), there], dim=-1)
        weight = (self.looks @ counts).clamp(min=SMALLEST)
        return ((self.looks @ frames) / weight.index_select(-1, self.whose)).flatten(1)


def looks(frames: int, options: Options) -> Tensor:
    """(moments, frames): what each frame counts at a moment."""
    at = torch.linspace(0.0, frames - 1, options.moments)[:, None] - torch.arange(frames)
    return torch.exp(-0.5 * (at / (options.blur * frames / options.moments)).square())


class PointKernelBody(Body):
    """Streams (N, S*C, T, V) -> logits (N, K); of several bodies (N, M, S*C, T, V) the first one's.

    A clip's features, standardised and scaled so that `exp(-|x - c|^2)` is the basis function around a centre c.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, spec: InputSpec, classes: int, options: Options) -> None:
        super().__init__()
        self.options = options
        self.features = (SignerFeatures if options.signer else ClipFeatures)(spec, options)
        self.register_buffer("mean", torch.zeros(self.features.width))
        self.register_buffer("scale", torch.ones(self.features.width))
        self.centres = nn.Linear(self.features.width, options.centres, bias=False)
        self.head = nn.Linear(options.centres, classes)
        for weight in (self.centres.weight, self.head.weight, self.head.bias):
            nn.init.zeros_(weight)

    def forward(self, streams: Tensor) -> Tensor:
        first = streams if streams.dim() == 4 else streams[:, 0]
        return self.head(activations(self.standard(first), self.centres.weight))

    def standard(self, streams: Tensor) -> Tensor:
        """Streams (N, S*C, T, V) -> standardised features (N, F)."""
        return (self.features(streams) - self.mean) * self.scale

    @torch.no_grad()
    def solve(self, streams: Tensor, labels: Tensor, *, silent: Tensor) -> None:
        """Set every weight from clips' streams (centres, S*C, T, V) and their classes (centres,).

        silent: (centres,) which clips show no gesture: they do not count for the distance between gestures, and are
        fitted less closely.
        """
        o, raw = self.options, self.features(streams).double()
        deviation = raw.std(0, correction=0) + o.least_spread
        own = raw[~silent] if (~silent).sum() > 1 else raw
        share = self.features.share.double()
        apart = torch.pdist(own * share / deviation).square()
        usual = float(apart[apart > SMALLEST].median()) if (apart > SMALLEST).any() else 1.0
        scale = (o.sharpness / usual) ** 0.5 * share / deviation
        self.mean.copy_(raw.mean(0))
        self.scale.copy_(scale)
        centres = (raw - raw.mean(0)) * scale
        ridge = torch.where(silent, o.background_ridge, o.ridge).to(raw.dtype)
        kernel = activations(centres, centres) + torch.diag(ridge)
        classes = self.head.out_features
        wanted = nn.functional.one_hot(labels, classes).to(raw.dtype) - 1 / classes
        self.centres.weight.copy_(centres)
        self.head.weight.copy_(o.gain * torch.linalg.solve(kernel, wanted).T)
        self.head.bias[labels[silent]] = -o.reluctance

    def deployed(self, spec: InputSpec) -> nn.Module:
        return EdgePointKernel(self)


class EdgePointKernel(nn.Module):
    """Streams (N, S*C, T, V) -> logits (N, K): the distances are one linear layer and the features' own square."""

    mean: Tensor
    scale: Tensor

    def __init__(self, body: PointKernelBody) -> None:
        super().__init__()
        self.features, self.head = body.features, body.head
        self.register_buffer("mean", body.mean)
        self.register_buffer("scale", body.scale)
        centres = body.centres.weight.detach()
        self.distance = with_weights(nn.Linear(*centres.T.shape), 2 * centres, -centres.square().sum(1))

    def forward(self, streams: Tensor) -> Tensor:
        x = (self.features(streams) - self.mean) * self.scale
        return self.head(torch.exp(self.distance(x) - x.square().sum(1, keepdim=True)))


def activations(x: Tensor, centres: Tensor) -> Tensor:
    """(N, F), (R, F) -> (N, R): exp(-|x - c|^2)."""
    return torch.exp(2 * x @ centres.T - x.square().sum(1, keepdim=True) - centres.square().sum(1))


@register_model
def point_kernel(spec: InputSpec, classes: int, **options: Any) -> LandmarkModel:
    """One weight a kept clip and class, and the kept clips: 528 numbers each for MediaPipe's hand."""
    return LandmarkModel(spec, PointKernelBody(spec, classes, adjust(Options(), options)))
