"""Each loss equals a reference written out from its formula, computes in float32 and has finite gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from last_edge.distill.objective import (
    aligned,
    attention_transfer,
    correlation_loss,
    decoupled_loss,
    ensemble_logits,
    feature_mse,
    relational_angle,
    relational_distance,
    soft_target_loss,
)

Maps = Callable[[Tensor, Tensor], Tensor]


def logits(clips: int = 5, classes: int = 7) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.randn(clips, classes, generator=random), 3 * torch.randn(clips, classes, generator=random)


def maps(channels: tuple[int, int] = (4, 4), frames: tuple[int, int] = (6, 6), clips: int = 5) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(2)
    student, teacher = (torch.randn(clips, c, t, 3, generator=random) for c, t in zip(channels, frames, strict=True))
    return student, teacher


def test_soft_target_loss_equals_its_formula() -> None:
    student, teacher = logits()
    p, q = torch.softmax(teacher / 4, 1), torch.softmax(student / 4, 1)
    expected = 16 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(soft_target_loss(student, teacher, 4.0), expected)
    assert float(soft_target_loss(teacher, teacher, 2.0)) == pytest.approx(0.0, abs=1e-6)


def test_decoupled_loss_equals_its_formula() -> None:
    student, teacher = logits()
    targets, tau = [0, 6, 3, 3, 1], 2.0
    expected = 0.0
    for row, target in enumerate(targets):
        p, q = (np.exp(x[row].double().numpy() / tau) for x in (teacher, student))
        p, q = p / p.sum(), q / q.sum()
        rest_p, rest_q = 1 - p[target], 1 - q[target]
        binary = p[target] * np.log(p[target] / q[target]) + rest_p * np.log(rest_p / rest_q)
        among = sum(p[k] / rest_p * np.log((p[k] / rest_p) / (q[k] / rest_q)) for k in range(len(p)) if k != target)
        expected += tau**2 * (1.5 * binary + 4.0 * among) / len(targets)
    got = decoupled_loss(student, teacher, torch.tensor(targets), tau, alpha=1.5, beta=4.0)
    assert float(got) == pytest.approx(expected, rel=1e-5)


def test_decoupling_is_the_plain_loss_put_another_way() -> None:
    """KL = TCKD + (1 - p_target) * NCKD (Zhao et al. 2022, eq. 6), p being the teacher's."""
    student, teacher = logits(clips=1)
    target = torch.tensor([2])
    rest = 1 - torch.softmax(teacher, 1)[0, 2]
    got = decoupled_loss(student, teacher, target, 1.0, alpha=1.0, beta=float(rest))
    torch.testing.assert_close(got, soft_target_loss(student, teacher, 1.0))


def test_correlation_loss_equals_its_formula() -> None:
    student, teacher = logits()
    p, q = (torch.softmax(x / 2, 1).numpy() for x in (teacher, student))
    inter = np.mean([1 - np.corrcoef(p[row], q[row])[0, 1] for row in range(5)])
    intra = np.mean([1 - np.corrcoef(p[:, k], q[:, k])[0, 1] for k in range(7)])
    got = correlation_loss(student, teacher, 2.0, beta=3.0, gamma=0.5)
    assert float(got) == pytest.approx(3 * inter + 0.5 * intra, rel=1e-4)


def test_an_ensemble_answers_with_the_mean_probability_at_the_temperature() -> None:
    one, other = logits()
    both = torch.stack([one, other], dim=1)
    got = torch.softmax(ensemble_logits(both, torch.tensor([3.0, 1.0]), 4.0) / 4, 1)
    torch.testing.assert_close(got, 0.75 * torch.softmax(one / 4, 1) + 0.25 * torch.softmax(other / 4, 1))
    torch.testing.assert_close(ensemble_logits(one[:, None], torch.ones(1), 4.0), one)


def test_feature_mse_equals_its_formula() -> None:
    student, teacher = maps()
    expected = ((student.numpy() - teacher.numpy()) ** 2).mean()
    assert float(feature_mse(student, teacher)) == pytest.approx(float(expected), rel=1e-5)


def test_attention_transfer_equals_its_formula() -> None:
    student, teacher = maps(channels=(4, 9))
    expected = 0.0
    for row in range(5):
        s, t = ((x[row].double().numpy() ** 2).sum(0).ravel() for x in (student, teacher))
        expected += np.sum((s / np.linalg.norm(s) - t / np.linalg.norm(t)) ** 2) / 5
    assert float(attention_transfer(student, teacher)) == pytest.approx(expected, rel=1e-5)


def huber(difference: float) -> float:
    return difference**2 / 2 if abs(difference) <= 1 else abs(difference) - 0.5


def pooled(x: Tensor) -> np.ndarray:
    return x.double().numpy().mean((2, 3))


def test_relational_distance_equals_its_formula() -> None:
    student, teacher = (pooled(x) for x in maps(channels=(4, 9)))
    pairs = list(itertools.combinations(range(5), 2))
    s, t = (np.array([np.linalg.norm(x[i] - x[j]) for i, j in pairs]) for x in (student, teacher))
    expected = np.mean([huber(d) for d in s / s.mean() - t / t.mean()])
    assert float(relational_distance(*maps(channels=(4, 9)))) == pytest.approx(expected, rel=1e-5)


def test_relational_angle_equals_its_formula() -> None:
    def cosine(x: np.ndarray, i: int, j: int, k: int) -> float:
        one, other = x[i] - x[j], x[k] - x[j]
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    student, teacher = (pooled(x) for x in maps(channels=(4, 9)))
    triplets = list(itertools.permutations(range(5), 3))
    expected = np.mean([huber(cosine(student, *three) - cosine(teacher, *three)) for three in triplets])
    assert float(relational_angle(*maps(channels=(4, 9)))) == pytest.approx(expected, rel=1e-5)


FEATURE_LOSSES = (feature_mse, attention_transfer, relational_distance, relational_angle)


@pytest.mark.parametrize("loss", FEATURE_LOSSES)
def test_feature_losses_end_at_zero_with_finite_gradients(loss: Maps) -> None:
    student, _ = maps()
    student[1] = student[0]
    student.requires_grad_()
    value = loss(student, student.detach())
    value.backward()
    assert float(value.detach()) == pytest.approx(0.0, abs=1e-6)
    assert student.grad is not None and torch.isfinite(student.grad).all()


@pytest.mark.parametrize("loss", FEATURE_LOSSES)
def test_feature_losses_compute_in_float32_under_autocast(loss: Maps) -> None:
    student, teacher = maps()
    expected = loss(student.bfloat16().float(), teacher)
    with torch.autocast("cpu", torch.bfloat16):
        got = loss(student.bfloat16(), teacher)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_maps_of_other_windows_meet_at_the_shorter_one() -> None:
    student, teacher = maps(frames=(3, 6))
    got, taught = aligned(student, teacher)
    assert torch.equal(got, student)
    torch.testing.assert_close(taught, teacher.reshape(5, 4, 3, 2, 3).mean(3))
    longer, shorter = aligned(teacher, student[..., :2])
    assert longer.shape == shorter.shape == (5, 4, 3, 1)
    torch.testing.assert_close(shorter, student[..., :2].mean(3, keepdim=True))
