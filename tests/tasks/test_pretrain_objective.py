"""The objective of pre-training: its two losses equal their formulas, and only what is hidden is reconstructed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.landmark_model import LandmarkModel
from last_edge.skeleton import Layout
from last_edge.tasks.config import PretrainConfig
from last_edge.tasks.maskclr import MaskCLR, masked_error, nt_xent

NO_TARGETS = torch.zeros(0)


def model_of(layout: Layout, *, name: str = "last_e_nano", persons: int = 1, **options: Any) -> LandmarkModel:
    torch.manual_seed(0)
    spec = InputSpec(layout, frames=16, bodies=persons, scale="limb")
    return create_model(name, spec=spec, classes=2, **options)


def objective_of(model: LandmarkModel, **settings: Any) -> MaskCLR:
    torch.manual_seed(1)
    return MaskCLR(model, PretrainConfig(**{"blocks": 4, **settings}), clamp=30.0)


def test_nt_xent_equals_its_formula() -> None:
    torch.manual_seed(0)
    one, other, tau = torch.randn(5, 8), torch.randn(5, 8), 0.07
    rows = [*one.tolist(), *other.tolist()]
    z = [[value / math.sqrt(sum(v * v for v in row)) for value in row] for row in rows]

    def similarity(i: int, j: int) -> float:
        return sum(a * b for a, b in zip(z[i], z[j], strict=True))

    losses = []
    for i in range(10):
        partner = (i + 5) % 10
        below = sum(math.exp(similarity(i, k) / tau) for k in range(10) if k != i)
        losses.append(-math.log(math.exp(similarity(i, partner) / tau) / below))
    assert float(nt_xent(one, other, tau)) == pytest.approx(sum(losses) / 10, rel=1e-5)


def test_nt_xent_is_least_where_views_agree_and_clips_differ() -> None:
    apart = torch.eye(4)
    assert float(nt_xent(apart, apart, 0.07)) < 1e-4
    assert float(nt_xent(torch.ones(4, 4), torch.ones(4, 4), 0.07)) == pytest.approx(math.log(7), rel=1e-5)


def test_masked_error_counts_nothing_but_what_counts() -> None:
    predicted, target = torch.zeros(2, 3), torch.tensor([[1.0, 100.0, 3.0], [100.0, 100.0, 100.0]])
    counts = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert float(masked_error(predicted, target, counts)) == pytest.approx((1 + 9) / 2)
    assert float(masked_error(predicted, target, torch.zeros(2, 3))) == 0.0


def test_the_loss_is_the_weighed_sum_of_its_parts(toy_layout: Layout) -> None:
    model = model_of(toy_layout)
    objective = objective_of(model, contrast=0.25)
    loss, _ = objective(model, torch.randn(6, 16, 5, 3), NO_TARGETS)
    parts = objective.parts
    torch.testing.assert_close(loss, parts["reconstruction"] + 0.25 * parts["contrast"])


@pytest.mark.parametrize("decoder", ["pose", "points"])
def test_hidden_points_reach_neither_the_model_nor_its_normalisation(toy_layout: Layout, decoder: str) -> None:
    model = model_of(toy_layout).eval()
    objective = objective_of(model, decoder=decoder, rotation_deg=0.0, scale=0.0)
    points = torch.randn(3, 16, 5, 3)
    joint, seen = model.front.normalised(points)
    read: list[torch.Tensor] = []
    model.body.register_forward_pre_hook(lambda _module, args: read.append(args[0]))
    original = model.features_and_logits

    def watched(streams: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        read.append(streams)
        return original(streams)

    model.features_and_logits = watched  # type: ignore[method-assign]
    torch.manual_seed(5)
    objective(model, points, NO_TARGETS)
    shown = read[-1][:, :3].movedim(1, 3)
    both = torch.cat([joint, joint])
    kept = (shown != 0).any(-1, keepdim=True)
    torch.testing.assert_close(shown, both * kept)
    hidden = ~kept[..., 0] & (both != 0).any(-1)
    share = hidden.float().mean((1, 2))
    assert float(share.min()) > 0.3 and float(share.max()) < 0.9
    assert not torch.equal(hidden[:3], hidden[3:])


@pytest.mark.parametrize("decoder", ["pose", "points"])
def test_points_that_nobody_saw_are_no_target(toy_layout: Layout, decoder: str) -> None:
    model = model_of(toy_layout).eval()
    objective = objective_of(model, decoder=decoder, rotation_deg=0.0, scale=0.0)
    points = torch.randn(3, 16, 5, 3)
    points[:, :, 4] = torch.nan
    targets: list[torch.Tensor] = []
    from last_edge.tasks import maskclr as room

    original = room.masked_error

    def watched(predicted: torch.Tensor, target: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        targets.append(counts)
        assert torch.broadcast_shapes(predicted.shape, target.shape) == counts.shape
        return original(predicted, target, counts)

    room.masked_error = watched  # type: ignore[attr-defined]
    try:
        loss, _ = objective(model, points, NO_TARGETS)
    finally:
        room.masked_error = original  # type: ignore[attr-defined]
    assert float(targets[0][:, :, 4].sum()) == 0
    assert float(targets[0].sum()) > 0 and bool(torch.isfinite(loss))


@pytest.mark.parametrize("decoder", ["pose", "points"])
@pytest.mark.parametrize(
    ("name", "persons", "options"),
    [
        ("last_lite_nano", 1, {}),
        ("last_lite_nano", 2, {"bodies": "mean"}),
        ("last_v2_small", 2, {"widths": (8, 12, 16), "blocks": (1, 1, 1)}),
    ],
)
def test_every_trunk_and_helper_learns(
    toy_layout: Layout, decoder: str, name: str, persons: int, options: dict[str, Any]
) -> None:
    model = model_of(toy_layout, name=name, persons=persons, **options).train()
    objective = objective_of(model, decoder=decoder)
    shape = (16, 5, 3) if persons == 1 else (persons, 16, 5, 3)
    loss, _ = objective(model, torch.randn(4, *shape), NO_TARGETS)
    loss.backward()
    helpers = list(objective.helpers.parameters())
    trunk = [p for key, p in model.named_parameters() if not key.startswith("body.head.")]
    assert all(parameter.grad is not None for parameter in [*helpers, *trunk])
    assert all(p.grad is None for key, p in model.named_parameters() if key.startswith("body.head."))


def test_a_body_that_the_model_does_not_read_is_no_target(toy_layout: Layout) -> None:
    first, mean = (model_of(toy_layout, persons=2, bodies=how) for how in ("first", "mean"))
    points = torch.randn(4, 2, 16, 5, 3)
    far = points.clone()
    far[:, 1] *= 10

    def reconstruction(model: LandmarkModel, given: torch.Tensor) -> float:
        objective = objective_of(model.eval())
        torch.manual_seed(2)
        objective(model, given, NO_TARGETS)
        return float(objective.parts["reconstruction"])

    assert reconstruction(first, points) == reconstruction(first, far)
    assert reconstruction(mean, points) < reconstruction(mean, far)


def test_views_turn_about_the_vertical_axis_and_keep_what_is_missing(toy_layout: Layout) -> None:
    objective = objective_of(model_of(toy_layout), rotation_deg=90.0, scale=0.2)
    torch.manual_seed(3)
    joint, seen = torch.randn(50, 16, 5, 3), torch.ones(50, 16, 5, 3)
    seen[:, :, 2] = 0
    moved, kept = objective._views(joint * seen, seen)
    assert torch.equal(kept, torch.cat([seen, seen])) and float(moved[:, :, 2].abs().max()) == 0
    before = torch.cat([joint, joint])[:, :, [0, 1, 3, 4]]
    after = moved[:, :, [0, 1, 3, 4]]
    scale = after[..., 1] / before[..., 1]
    torch.testing.assert_close(scale, scale[:, :1, :1].expand_as(scale), rtol=1e-4, atol=1e-5)
    assert float(scale.min()) >= 0.8 and float(scale.max()) <= 1.2
    ground = after[..., [0, 2]].norm(dim=-1) / before[..., [0, 2]].norm(dim=-1)
    torch.testing.assert_close(ground, scale, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(moved[:50], moved[50:])
