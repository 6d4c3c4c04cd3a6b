"""Losses on logits: what a student's answers owe to a teacher's. All compute in float32 and average over the batch.

student, teacher: logits (N, K). tau: temperature.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST_NORM = 1e-8


def soft_target_loss(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """tau^2 * KL(softmax(teacher / tau) || softmax(student / tau)) (Hinton et al. 2015, eq. 4).

    The factor keeps the gradient's size independent of tau.
    """
    return tau * tau * _divergence(teacher.float() / tau, student.float() / tau)


def decoupled_loss(
    student: Tensor, teacher: Tensor, target: Tensor, tau: float, *, alpha: float, beta: float
) -> Tensor:
    """tau^2 * (alpha * TCKD + beta * NCKD), decoupled distillation (Zhao et al. 2022, eq. 7).

    TCKD is the divergence of (target, all others) as two classes, NCKD that of the others among themselves; the plain
    loss weighs the latter by how unsure the teacher is. target: (N,) class numbers.
    """
    target, (taught, got) = target[:, None], (teacher.float() / tau, student.float() / tau)
    after = torch.arange(1, got.shape[1], device=got.device)
    others = (target + after) % got.shape[1]
    binary = [
        torch.cat([x.gather(1, target), x.gather(1, others).logsumexp(1, keepdim=True)], 1) for x in (taught, got)
    ]
    two_way, among_others = _divergence(*binary), _divergence(taught.gather(1, others), got.gather(1, others))
    return tau * tau * (alpha * two_way + beta * among_others)


def correlation_loss(student: Tensor, teacher: Tensor, tau: float, *, beta: float, gamma: float) -> Tensor:
    """beta * inter + gamma * intra, distances of DIST (Huang et al. 2022, eqs. 7 to 9).

    A distance is 1 - Pearson's correlation of probabilities at tau: over the classes of each clip (inter), over the
    clips of each class (intra). There is no tau^2: a correlation does not shrink as the temperature rises.
    """
    got, taught = (torch.softmax(logits.float() / tau, dim=1) for logits in (student, teacher))
    return beta * _uncorrelated(got, taught) + gamma * _uncorrelated(got.T, taught.T)


def ensemble_logits(logits: Tensor, weights: Tensor, tau: float) -> Tensor:
    """tau * log(sum over e of w_e * softmax(logits_e / tau)): the logits whose softmax at tau is the teachers' mean.

    logits: (N, E, K) of E teachers. weights: (E,), made to sum to 1. One teacher's logits stay what they are.
    """
    if logits.shape[1] == 1:
        return logits[:, 0].float()
    share = torch.log(weights.float() / weights.sum())[:, None]
    return tau * torch.logsumexp(torch.log_softmax(logits.float() / tau, dim=2) + share, dim=1)


def _divergence(taught: Tensor, got: Tensor) -> Tensor:
    """KL(softmax(taught) || softmax(got)), mean over the rows."""
    expected, answered = torch.log_softmax(taught, dim=1), torch.log_softmax(got, dim=1)
    return nn.functional.kl_div(answered, expected, reduction="batchmean", log_target=True)


def _uncorrelated(got: Tensor, taught: Tensor) -> Tensor:
    """1 - Pearson's correlation of each row, mean over the rows."""
    got, taught = (x - x.mean(1, keepdim=True) for x in (got, taught))
    return 1 - nn.functional.cosine_similarity(got, taught, dim=1, eps=SMALLEST_NORM).mean()
