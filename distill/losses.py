"""Distillation losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def soft_target_loss(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """tau^2 * KL(softmax(teacher / tau) || softmax(student / tau)), mean over the batch (Hinton et al. 2015, eq. 4).

    student, teacher: logits (N, K). The factor keeps the gradient's size independent of tau.
    """
    expected = torch.log_softmax(teacher.float() / tau, dim=1)
    got = torch.log_softmax(student.float() / tau, dim=1)
    return tau * tau * nn.functional.kl_div(got, expected, reduction="batchmean", log_target=True)
