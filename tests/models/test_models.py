"""What a user may rely on in every model: any layout, missing points, gates that start neutral, clear errors."""

from __future__ import annotations

import pytest
import torch

from last_edge.errors import UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model, model_names
from last_edge.skeleton import Layout, get_layout, layout_names


@pytest.mark.parametrize("layout", layout_names())
def test_nano_takes_every_layout(layout: str) -> None:
    spec = InputSpec(get_layout(layout), frames=16)
    model = create_model("last_lite_nano", spec=spec, classes=5).eval()
    assert model(torch.randn(2, *spec.shape)).shape == (2, 5)


@pytest.mark.parametrize("name", model_names())
def test_missing_points_never_reach_the_logits(toy_layout: Layout, name: str) -> None:
    spec = InputSpec(toy_layout, frames=16, scale="limb")
    points = torch.randn(2, *spec.shape)
    points[0, 3:6, 2] = torch.nan
    points[1] = torch.nan
    model = create_model(name, spec=spec, classes=4).eval()
    assert torch.isfinite(model(points)).all()


def test_second_body_is_taken_in_but_the_first_decides(toy_layout: Layout) -> None:
    spec = InputSpec(toy_layout, frames=16, bodies=2)
    model = create_model("last_e_nano", spec=spec, classes=4).eval()
    points = torch.randn(2, 2, 16, 5, 3)
    other = points.clone()
    other[:, 1] += 1.0
    torch.testing.assert_close(model(points), model(other))


def test_new_gates_change_nothing(toy_layout: Layout) -> None:
    torch.manual_seed(0)
    spec = InputSpec(toy_layout, frames=16)
    gated = create_model("last_e_nano", spec=spec, classes=4).eval()
    plain = create_model("last_e_nano", spec=spec, classes=4, motion_gate=False, use_st_att=(False,) * 3).eval()
    plain.load_state_dict({name: value for name, value in gated.state_dict().items() if name in plain.state_dict()})
    points = torch.randn(3, *spec.shape)
    torch.testing.assert_close(gated(points), plain(points))


def test_drop_path_ramps_from_zero(toy_layout: Layout) -> None:
    model = create_model("last_e_small", spec=InputSpec(toy_layout, frames=16), classes=4, drop_path_rate=0.2)
    rates = [block.drop_path.rate for stage in model.body.stages for block in stage]
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])


def test_unknown_names_are_answered_with_near_ones(toy_layout: Layout) -> None:
    spec = InputSpec(toy_layout)
    with pytest.raises(UsageError, match="last_e_nano"):
        create_model("last_e_nan", spec=spec, classes=4)
    with pytest.raises(UsageError, match="dropout"):
        create_model("last_e_nano", spec=spec, classes=4, dropuot=0.1)
