"""MaskCLR: reconstruct what is hidden, and tell a clip's two views from everybody else's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.data.augment import VERTICAL
from last_edge.errors import UsageError
from last_edge.models.landmark_model import LandmarkModel
from last_edge.tasks.config import PretrainConfig
from last_edge.tasks.masks import CellMasks
from last_edge.tasks.pretrain_heads import PointDecoder, PoseDecoder, projector
from last_edge.tasks.pretrain_losses import masked_error, nt_xent
from last_edge.tasks.saliency import check_guide, reads_first_body_alone, saliency_of


class MaskCLR:
    """Masked error + contrast * NT-Xent over two views of each clip; both views go through the model as one batch.

    Points are normalised first, whole, so that what is hidden moves neither centre nor scale. Each view is then turned
    and scaled about the centre and loses its own cells. A hidden point is missing: 0 in every stream, as is any point
    that a tracker lost, so the trunk meets nothing here that it will not meet in service. Only points that are hidden
    and were seen, of bodies that the model reads, count in the reconstruction.
    """

    def __init__(self, model: LandmarkModel, config: PretrainConfig, *, clamp: float) -> None:
        """model: gives widths and frame counts alone, any of the kind that will be trained."""
        if not model.stage_widths():
            raise UsageError("this model shows no feature maps to pre-train", hint="last-edge models")
        check_guide(config.guide, model)
        spec, self.config, self.clamp = model.spec, config, clamp
        self.saliency = saliency_of(config.guide)
        self.helpers: nn.Module = nn.ModuleDict(
            {
                "masks": CellMasks(spec.layout, frames=spec.frames, blocks=config.blocks, ratio=config.ratio),
                "decoder": _decoder(model, config),
                "projector": projector(model.stage_widths()[-1], config.width),
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
        contrast = self._contrast(maps[-1])
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
        return masks(priority).reshape(*joint.shape[:-1], 1)  # type: ignore[no-any-return]

    def _contrast(self, features: Tensor) -> Tensor:
        one, other = self._helper("projector")(features.mean(dim=(2, 3))).chunk(2)
        return nt_xent(one, other, self.config.temperature)


def _decoder(model: LandmarkModel, config: PretrainConfig) -> nn.Module:
    width, spec = model.stage_widths()[-1], model.spec
    if config.decoder == "pose":
        return PoseDecoder(width, spec)
    with torch.no_grad():
        shape = (1, spec.frames, spec.layout.joints, spec.channels)
        still = torch.zeros(shape if spec.bodies == 1 else (1, spec.bodies, *shape[1:]))
        maps, _ = model.eval().features_and_logits(model.front(still))
    return PointDecoder(width, spec, frames=maps[-1].shape[2])
