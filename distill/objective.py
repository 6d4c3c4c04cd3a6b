"""The distillation objective: labels, the teachers' answers and their stages, weighed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from last_edge.distill.loss_map import LossMap
from last_edge.distill.losses import correlation_loss, decoupled_loss, ensemble_logits, soft_target_loss
from last_edge.distill.teachers import Source
from last_edge.models.landmark_model import LandmarkModel
from last_edge.tasks.config import DistillConfig
from last_edge.tasks.objective import CrossEntropy


class Distillation:
    """a * CE(student, targets) + b * soft(student, teachers) + g * the loss map, on the same augmented points.

    The student's forward pass is one, whether its stages are wanted or not. `parts` holds the three terms of the last
    loss before their weights. See `last_edge.tasks.objective.HelpedObjective` for the rest.
    """

    def __init__(
        self, source: Source, plain: CrossEntropy, config: DistillConfig, *, loss_map: LossMap | None = None
    ) -> None:
        self.source, self.plain, self.config = source, plain, config
        self.loss_map = loss_map
        self.helpers: nn.Module = nn.Module() if loss_map is None else loss_map
        self.parts: dict[str, Tensor] = {}
        self._clips, self._view = torch.zeros(0, dtype=torch.int64), 0
        self._weights = torch.zeros(0)

    def begin_batch(self, clips: Tensor, view: int) -> None:
        """Remember which clips and which of their augmentations come next."""
        self._clips, self._view = clips, view

    def at(self, share: float) -> None:
        """See `last_edge.tasks.objective.TimedObjective`."""
        self.plain.at(share)

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See `last_edge.tasks.objective.Objective`."""
        answers = self.source(points, self._clips, self._view)
        streams = self.plain.streams(model, points)
        maps, logits = (
            model.features_and_logits(streams) if self.loss_map is not None else ([], model.from_streams(streams))
        )
        hard = self.plain.loss(model, logits, targets)
        soft = self.soft(logits, answers.logits, targets)
        loss = self.config.a * hard + self.config.b * soft
        self.parts = {"hard": hard.detach(), "soft": soft.detach()}
        if self.loss_map is not None:
            stages = self.loss_map(maps, answers.maps)
            loss, self.parts["stages"] = loss + self.config.g * stages, stages.detach()
        return loss, logits

    def soft(self, logits: Tensor, teachers: Tensor, targets: Tensor) -> Tensor:
        """What the student's logits (N, K) owe to the teachers' (N, E, K), by the recipe's `distill.soft`."""
        c, count = self.config, teachers.shape[1]
        if len(self._weights) != count or self._weights.device != teachers.device:
            self._weights = torch.tensor(c.teacher_weights or [1.0] * count, device=teachers.device)
        taught = ensemble_logits(teachers, self._weights, c.tau)
        if c.soft == "dkd":
            return decoupled_loss(logits, taught, targets.argmax(1), c.tau, alpha=c.dkd_alpha, beta=c.dkd_beta)
        if c.soft == "dist":
            return correlation_loss(logits, taught, c.tau, beta=c.dist_beta, gamma=c.dist_gamma)
        return soft_target_loss(logits, taught, c.tau)
