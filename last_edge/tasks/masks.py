"""Masks that hide whole body regions for whole blocks of frames: any of them, or rather those that a model looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from last_edge.errors import UsageError
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.layers.gates import JointAttention
from last_edge.skeleton.graph import body_regions
from last_edge.skeleton.layout import Layout

Saliency = Callable[[LandmarkModel, Tensor], Tensor]
"""(model, streams) -> how much the model looks at each point, (N, T, V), none below 0."""


class CellMasks(nn.Module):
    """A clip cut into cells, region by frame block. Cells are hidden whole, those of the highest priority first.

    Their number is the one that brings the hidden share of all T * V points nearest to `ratio`: it is off by at most
    half a cell. Frame t belongs to block floor(t * blocks / T).
    """

    def __init__(self, layout: Layout, *, frames: int, blocks: int, ratio: float) -> None:
        super().__init__()
        if blocks > frames:
            raise UsageError("pretrain.blocks is more than there are frames", expected=f"<= {frames}", got=blocks)
        regions = list(body_regions(layout).values())
        place = {joint: number for number, joints in enumerate(regions) for joint in joints}
        self.ratio, self.count = ratio, (len(regions), blocks)
        self.region: Tensor
        self.block: Tensor
        self.size: Tensor
        self.register_buffer("region", torch.tensor([place[joint] for joint in range(layout.joints)]), persistent=False)
        self.register_buffer("block", torch.arange(frames) * blocks // frames, persistent=False)
        lengths = torch.bincount(self.block, minlength=blocks)
        sizes = torch.tensor([len(joints) for joints in regions])[:, None] * lengths
        self.register_buffer("size", sizes.float(), persistent=False)

    def forward(self, priority: Tensor) -> Tensor:
        """Priorities (N, R, B) of the cells -> (N, T, V) bool, true where a point is hidden."""
        order = priority.flatten(1).argsort(dim=1, descending=True)
        sizes = self.size.flatten()[order]
        taken = sizes.cumsum(1) - sizes / 2 <= self.ratio * self.size.sum()
        chosen = torch.zeros_like(taken).scatter(1, order, taken).reshape(-1, *self.count)
        return chosen[:, self.region][:, :, self.block].transpose(1, 2)

    def at_random(self, count: int) -> Tensor:
        """(count, R, B) priorities that give every cell the same chance."""
        return torch.rand((count, *self.count), device=self.size.device)

    def by_saliency(self, saliency: Tensor) -> Tensor:
        """(N, T, V) saliency, none below 0 -> (N, R, B) priorities that draw cells without replacement.

        A cell's chance is in proportion to the mean saliency of its points: Gumbel noise on the logarithm, the highest
        first (Kool et al. 2019, section 2.3).
        """
        by_block = torch.zeros(len(saliency), self.count[1], saliency.shape[2], device=saliency.device)
        by_block.index_add_(1, self.block, saliency)
        cells = torch.zeros(len(saliency), *self.count, device=saliency.device)
        cells.index_add_(1, self.region, by_block.transpose(1, 2))
        chance = torch.log(cells / self.size + torch.finfo(torch.float32).tiny)
        return chance - torch.log(-torch.log(torch.rand_like(chance).clamp(min=1e-20)))


def saliency_of(guide: str) -> Saliency | None:
    """The function (model, streams) -> (N, T, V) of a guide, none below 0; None for random masks."""
    return {"attention": joint_attention, "norm": feature_norm, "gradient": feature_gradient}.get(guide)


def check_guide(guide: str, model: LandmarkModel) -> None:
    """`UsageError` where a model lacks what the guide reads."""
    if guide == "attention" and not _attentions(model):
        hint = "--set pretrain.guide=norm, or gradient: both work with every model"
        raise UsageError("this model has no joint attention", where="pretrain.guide", got=guide, hint=hint)


def feature_norm(model: LandmarkModel, streams: Tensor) -> Tensor:
    """Length of the last feature at each place."""
    with _looking(model), torch.no_grad():
        return _at_frames(model.features_and_logits(streams)[0][-1].float().norm(dim=1), streams)


def feature_gradient(model: LandmarkModel, streams: Tensor) -> Tensor:
    """How much each point moves the mean feature: length of the gradient of half its square, over all bodies."""
    with _looking(model), torch.enable_grad():
        streams = streams.detach().requires_grad_()
        feature = model.features_and_logits(streams)[0][-1].float().mean(dim=(2, 3))
        (gradient,) = torch.autograd.grad(feature.square().sum() / 2, streams)
    lengths: Tensor = gradient.float().norm(dim=-3)
    return lengths if lengths.dim() == 3 else lengths.sum(1)


def joint_attention(model: LandmarkModel, streams: Tensor) -> Tensor:
    """The last joint attention's gates: frame times joint, mean over channels, bodies and streams."""
    gates: list[Tensor] = []
    last = _attentions(model)[-1]
    hooks = [part.register_forward_hook(lambda _m, _x, y: gates.append(y)) for part in (last.temporal, last.spatial)]
    with _looking(model), torch.no_grad():
        model.features_and_logits(streams)
    for hook in hooks:
        hook.remove()
    over_time, over_joints = (torch.sigmoid(gate.float()) for gate in gates)
    rows = torch.einsum("nctu,ncuv->ntv", over_time, over_joints) / over_time.shape[1]
    return _at_frames(_by_clip(rows, model, streams), streams)


def reads_first_body_alone(model: LandmarkModel) -> bool:
    """Whether a model's option leaves every body but the first unread."""
    return getattr(getattr(model.body, "options", None), "bodies", "") == "first"


def _attentions(model: LandmarkModel) -> list[JointAttention]:
    return [module for module in model.modules() if isinstance(module, JointAttention)]


def _by_clip(rows: Tensor, model: LandmarkModel, streams: Tensor) -> Tensor:
    """Mean over the rows of one clip: rows are ordered by stream (where each is read alone), clip, body."""
    bodies = 1 if streams.dim() == 4 or reads_first_body_alone(model) else streams.shape[1]
    return rows.reshape(-1, len(streams), bodies, *rows.shape[1:]).mean(dim=(0, 2))


def _at_frames(by_place: Tensor, streams: Tensor) -> Tensor:
    """(N, T', V) -> (N, T, V): each input frame takes the nearest place's value."""
    return nn.functional.interpolate(by_place[:, None], size=streams.shape[-2:])[:, 0]


@contextmanager
def _looking(model: LandmarkModel) -> Iterator[None]:
    """The model in eval mode, so that a look leaves no trace in its batch norms, and as written, with its hooks."""
    training, compiled = model.training, "features_and_logits" in vars(model.body)
    model.eval()
    try:
        with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
            yield
    finally:
        model.train(training)
