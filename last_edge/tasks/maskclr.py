"""Pre-training by MaskCLR: reconstruct what masks hide, and tell a clip's two views from everybody else's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from last_edge.clips.windows import plain_batch
from last_edge.data.augment import VERTICAL
from last_edge.errors import UsageError
from last_edge.inputs.features import LANDMARKS
from last_edge.inputs.spec import InputSpec
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.layers.gates import JointAttention
from last_edge.skeleton.layout import Layout, body_regions
from last_edge.tasks.class_learner import BATCH, ClassLearner
from last_edge.tasks.config import PretrainConfig, Recipe
from last_edge.tasks.objective import Objective, parts_of
from last_edge.tasks.plan import Plan
from last_edge.tasks.start import Start
from last_edge.tasks.task import Row, Views

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


SMALLEST_HEAD = 2


class MaskCLR:
    """Masked error + contrast * NT-Xent over two views of each clip; both views go through the model as one batch.

    Points are normalised first, whole, so that what is hidden moves neither centre nor scale. Each view is then turned
    and scaled about the centre and loses its own cells. A hidden point is missing: 0 in every stream, as is any point
    that a tracker lost, so the trunk meets nothing here that it will not meet in service. Only points that are hidden
    and were seen, of bodies that the model reads, count in the reconstruction.
    """

    def __init__(self, model: LandmarkModel, config: PretrainConfig, *, clamp: float) -> None:
        """model: gives widths and frame counts alone, any of the kind that will be trained."""
        check_guide(config.guide, model)
        spec, self.config, self.clamp, width = model.spec, config, clamp, model.stage_widths()[-1]
        self.saliency = saliency_of(config.guide)
        self.helpers: nn.Module = nn.ModuleDict(
            {
                "masks": CellMasks(spec.layout, frames=spec.frames, blocks=config.blocks, ratio=config.ratio),
                "decoder": _decoder(model, config),
                "projector": nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.width)),
            }
        )
        self.parts: dict[str, Tensor] = {}

    def begin_batch(self, clips: Tensor, view: int) -> None:
        """See `HelpedObjective`; nothing here depends on which clips these are."""

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See `Objective`; targets are not read, and the logits are those of a head that learns nothing."""
        with torch.autocast(points.device.type, enabled=False):
            joint, seen = self._views(*model.front.normalised(points))
            hidden = self._hidden(model, joint, seen)
            visible = seen * ~hidden
            streams = self._clamped(model.front.streams(joint * visible, visible))
        maps, logits = model.features_and_logits(streams)
        predicted = self._helper("decoder")(maps[-1])
        counts = seen * hidden
        if joint.dim() == 5 and reads_first_body_alone(model):
            counts[:, 1:] = 0
        reconstruction = masked_error(predicted, self._clamped(joint), counts)
        one, other = self._helper("projector")(maps[-1].mean(dim=(2, 3))).chunk(2)
        contrast = nt_xent(one, other, self.config.temperature)
        self.parts = {"reconstruction": reconstruction.detach(), "contrast": contrast.detach()}
        return reconstruction + self.config.contrast * contrast, logits[: len(points)]

    def _helper(self, name: str) -> nn.Module:
        return self.helpers.get_submodule(name)

    def _clamped(self, values: Tensor) -> Tensor:
        return values.clamp(-self.clamp, self.clamp) if self.clamp else values

    def _views(self, joint: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Two views of points (N, [M,] T, V, C), turned and scaled one by one -> (2N, ...); what is missing stays 0."""
        both, turns = torch.cat([joint, joint]), self._turns(2 * len(joint), joint)
        moved = torch.einsum("n...c,ndc->n...d", both, turns)
        return moved * torch.cat([seen, seen]), torch.cat([seen, seen])

    def _turns(self, count: int, like: Tensor) -> Tensor:
        """(count, C, C) turns about the vertical axis, flat clips in their plane, each with a scale of its own."""
        axes = like.shape[-1]
        angle = torch.deg2rad(self._uniform(count, like) * self.config.rotation_deg)
        cosine, sine = angle.cos(), angle.sin()
        turned = torch.eye(axes, device=like.device).repeat(count, 1, 1)
        one, other = (axis for axis in range(3) if axis != VERTICAL) if axes == 3 else (0, min(1, axes - 1))
        if axes > 1:
            turned[:, one, one] = turned[:, other, other] = cosine
            turned[:, one, other], turned[:, other, one] = -sine, sine
        return turned * (1 + self._uniform(count, like) * self.config.scale)[:, None, None]

    def _uniform(self, count: int, like: Tensor) -> Tensor:
        """(count,) numbers from -1 to 1."""
        return torch.rand(count, device=like.device) * 2 - 1

    def _hidden(self, model: LandmarkModel, joint: Tensor, seen: Tensor) -> Tensor:
        """(2N, [M,] T, V, 1) bool: what each view and body loses."""
        masks = self._helper("masks")
        assert isinstance(masks, CellMasks)
        bodies = joint.shape[1] if joint.dim() == 5 else 1
        if self.saliency is None:
            priority = masks.at_random(len(joint) * bodies)
        else:
            looked_at = self.saliency(model, self._clamped(model.front.streams(joint, seen)))
            priority = masks.by_saliency(looked_at.repeat_interleave(bodies, dim=0))
        return masks(priority).reshape(*joint.shape[:-1], 1)


def _decoder(model: LandmarkModel, config: PretrainConfig) -> nn.Module:
    width, spec = model.stage_widths()[-1], model.spec
    if config.decoder == "pose":
        return PoseDecoder(width, spec)
    with torch.no_grad():
        shape = (1, spec.frames, spec.layout.joints, spec.channels)
        still = torch.zeros(shape if spec.bodies == 1 else (1, spec.bodies, *shape[1:]))
        maps, _ = model.eval().features_and_logits(model.front(still))
    return PointDecoder(width, spec, frames=maps[-1].shape[2])


class PoseDecoder(nn.Module):
    """Linear from the feature's mean over time and joints to one pose: (N, C, T', V) -> (N, [M,] 1, V, axes)."""

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__()
        bodies = () if spec.bodies == 1 else (spec.bodies,)
        self.shape = (*bodies, 1, spec.layout.joints, spec.channels)
        self.linear = nn.Linear(width, spec.bodies * spec.layout.joints * spec.channels)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features.mean(dim=(2, 3))).unflatten(1, self.shape)


class PointDecoder(nn.Module):
    """Linear from each place's feature to the points of the frames it stands for.

    (N, C, T', V) -> (N, [M,] T, V, axes): feature frame t' answers for ceil(T / T') frames in a row.
    """

    def __init__(self, width: int, spec: InputSpec, *, frames: int) -> None:
        super().__init__()
        self.spec, self.each = spec, -(-spec.frames // frames)
        self.linear = nn.Linear(width, spec.bodies * spec.channels * self.each)

    def forward(self, features: Tensor) -> Tensor:
        bodies, axes = self.spec.bodies, self.spec.channels
        made = self.linear(features.permute(0, 2, 3, 1)).unflatten(3, (bodies, axes, self.each))
        points: Tensor = made.permute(0, 3, 1, 5, 2, 4).flatten(2, 3)[:, :, : self.spec.frames]
        return points[:, 0] if bodies == 1 else points


def nt_xent(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Normalised-temperature cross entropy of two views (Chen et al. 2020, SimCLR, eq. 1), in float32.

    one, other: (N, D), row i of both from the same clip. Each of the 2N is to find its other view among the 2N - 1 that
    are not itself, by cosine similarity over `temperature`.
    """
    views = nn.functional.normalize(torch.cat([one, other]).float(), dim=1)
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    similarity = (views @ views.T / temperature).masked_fill(itself, -torch.inf)
    partner = torch.arange(len(views), device=views.device).roll(len(one))
    return nn.functional.cross_entropy(similarity, partner)


def masked_error(predicted: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Mean squared error over the entries where `counts` is 1, in float32; 0 where it is nowhere. All of one shape."""
    squares = (predicted.float() - target.float()).square() * counts
    return squares.sum() / counts.sum().clamp(min=1.0)


class TrunkLearner(ClassLearner):
    """Pre-training in a run, see `Learner`: the batches of recognition without their labels.

    Validation is the loss on held-out clips, under the same masks every epoch. A model has a head because it is a
    model; it learns nothing and no checkpoint holds it.
    """

    hits_as = ""
    trunk_only = True

    def __init__(
        self, plan: Plan, recipe: Recipe, *, start: Start | None = None, views: Views | None = None, device: str = "cpu"
    ) -> None:
        super().__init__(plan, recipe, start=start, views=views, device=device)
        self.labels, self.width = (), SMALLEST_HEAD

    @property
    def facts(self) -> dict[str, Any]:
        """Body regions, mask, and how much is trained beside the trunk."""
        settings, helpers = self.recipe.pretrain, self.objective().helpers
        regions = {name: len(joints) for name, joints in body_regions(self.plan.spec.layout).items()}
        return {
            "regions": ", ".join(f"{name} {joints}" for name, joints in regions.items()),
            "mask": f"{settings.ratio:.0%} of the points, {len(regions)} regions x {settings.blocks} blocks of frames",
            "thrown_away_params": sum(parameter.numel() for parameter in helpers.parameters()),
        }

    def objective(self) -> MaskCLR:
        """The objective of `last-edge pretrain maskclr`; its own weights are drawn by the recipe's seed."""
        torch.manual_seed(self.recipe.seed)
        model = self.model()
        if not model.stage_widths():
            expected, hint = "a model with stages of feature maps, such as last_lite_nano", "last-edge models"
            raise UsageError("no feature maps to pre-train", where=self.recipe.model.name, expected=expected, hint=hint)
        return MaskCLR(model, self.recipe.pretrain, clamp=self.recipe.training.input_clamp)

    @torch.no_grad()
    def validate(self, model: nn.Module, objective: Objective) -> Row:
        """Loss and terms on the validation clips, not augmented but for the views."""
        assert isinstance(model, LandmarkModel)
        sums: dict[str, float] = {}
        torch.manual_seed(self.recipe.seed)
        for start in range(0, len(self.plan.val), BATCH):
            clips = self.plan.val[start : start + BATCH]
            points = torch.from_numpy(plain_batch(self.plan.store, clips, self.plan.spec)[LANDMARKS]).to(self.device)
            loss, _ = objective(model, points, torch.zeros(0))
            for name, value in {"loss": loss, **parts_of(objective)}.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(clips)
        return {f"val_{name}": value / len(self.plan.val) for name, value in sums.items()}

    def measure(self, chosen: Callable[[nn.Module], nn.Module], row: Row, *, test: bool) -> dict[str, Any]:
        """The chosen epoch's row: what is known of a trunk before anything is asked of it."""
        return {"pretrain": row}
