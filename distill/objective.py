"""The distillation objective: labels and a frozen teacher's answers, weighed."""

from __future__ import annotations

import torch
from torch import Tensor

from last_edge.distill.losses import soft_target_loss
from last_edge.models.landmark_model import LandmarkModel
from last_edge.train.config import DistillConfig
from last_edge.train.objective import CrossEntropy


class Distillation:
    """a * CE(student, targets) + b * tau^2 * KL(teacher || student) on the same augmented points.

    The teacher is in eval mode, gets no gradient and no stream noise.
    """

    def __init__(self, teacher: LandmarkModel, plain: CrossEntropy, weights: DistillConfig) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.plain, self.weights = plain, weights

    def __call__(self, model: LandmarkModel, points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See `last_edge.train.objective.Objective`."""
        with torch.no_grad():
            answers = self.teacher(points)
        hard, logits = self.plain(model, points, targets)
        soft = soft_target_loss(logits, answers, self.weights.tau)
        return self.weights.a * hard + self.weights.b * soft, logits
