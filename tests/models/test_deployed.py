"""The deployed form computes what the trained model computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from last_edge.errors import UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model, model_names
from last_edge.models.front import LandmarkFront
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.point_kernel import PointKernelBody
from last_edge.skeleton import get_layout


def points(spec: InputSpec, *, clips: int = 4, seed: int = 0) -> torch.Tensor:
    """Random points with missing ones: single joints, whole frames, a late first centre, a clip with nothing."""
    values = np.random.default_rng(seed).normal(size=(clips, *spec.shape)).astype(np.float32)
    holes = np.random.default_rng(seed + 1).random(values.shape[:-1]) < 0.1
    values[holes] = np.nan
    values[0, ..., :3, :, :] = np.nan
    values[1, ..., list(spec.layout.centre), :] = np.nan
    values[2] = np.nan
    return torch.from_numpy(values)


def shake(model: nn.Module) -> None:
    """Move norms, masks, gates and pooling away from where training starts."""
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    for module in model.modules():
        if isinstance(module, norms):
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
            for value in (module.weight.data, module.bias.data, module.running_mean):
                value.add_(0.3 * torch.randn_like(value))  # type: ignore[union-attr, arg-type]
    for key, value in model.named_parameters():
        if key.endswith(("alpha", "edge", "pool_gate")):
            value.data.add_(0.3 * torch.randn_like(value))


def trained(name: str, spec: InputSpec, **options: Any) -> LandmarkModel:
    """A model whose weights, norms, masks and gates are all far from their start."""
    torch.manual_seed(7)
    clips = points(spec)
    kept = {"centres": len(clips)} if name == "point_kernel" else {}
    model = create_model(name, spec=spec, classes=14, **kept, **options)
    shake(model)
    if isinstance(model.body, PointKernelBody):
        model.body.solve(model.front(clips), torch.arange(len(clips)), silent=torch.zeros(len(clips), dtype=torch.bool))
    return model.eval()


SPECS = {
    "shrec22": InputSpec(get_layout("shrec22"), frames=16),
    "limb": InputSpec(get_layout("shrec22"), frames=16, scale="limb"),
    "frame": InputSpec(get_layout("mediapipe_holistic75"), frames=16, centre="frame", scale="limb"),
    "shoulders": InputSpec(get_layout("mediapipe_holistic75"), frames=16, centre="frame", scale="frame"),
    "raw": InputSpec(get_layout("shrec22"), frames=16, centre="none", streams=("bone", "joint")),
    "two bodies": InputSpec(get_layout("ntu25"), frames=16, bodies=2, scale="limb"),
    "flat": InputSpec(get_layout("mediapipe_hand21"), frames=16, channels=2),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_front_that_reads_one_body_gives_the_first_ones_streams(name: str) -> None:
    spec = SPECS[name]
    batch = points(spec)
    expected = LandmarkFront(spec)(batch)
    expected = expected if spec.bodies == 1 else expected[:, 0]
    torch.testing.assert_close(LandmarkFront(spec, bodies=1)(batch), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", SPECS)
def test_streams_of_points_normalised_beforehand_are_the_fronts(name: str) -> None:
    front, batch = LandmarkFront(SPECS[name]), points(SPECS[name])
    assert torch.equal(front.streams(*front.normalised(batch)), front(batch))


def check_folding(name: str, spec: InputSpec, **options: Any) -> None:
    """Deployed form and model agree to 1e-5 of the largest logit."""
    model, batch = trained(name, spec, **options), points(spec)
    if spec.bodies > 1:
        batch[3, 1:] = torch.nan  # a second body that is not there
    with torch.no_grad():
        expected, got = model(batch), model.deployed()(batch)
    assert expected.std() > 0.01
    scale = float(expected.abs().max())
    torch.testing.assert_close(got / scale, expected / scale, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", model_names())
def test_folding_keeps_the_function_of_every_model(name: str) -> None:
    check_folding(name, SPECS["shrec22"])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("last_e_nano", {"fusion": "softmax"}),
        ("last_e_nano", {"act": "relu", "drop_path_rate": 0.1}),
        ("last_e_large", {"ib": "sampled"}),
        ("last_lite_nano", {"act": "hardswish"}),
        ("last_lite_nano", {"act": "relu6", "fusion": "softmax"}),
        ("last_v2_small", {"attention": [True, True, True]}),
    ],
)
def test_folding_keeps_the_function_of_every_option(name: str, options: dict[str, Any]) -> None:
    check_folding(name, SPECS["limb"], **options)


@pytest.mark.parametrize("frames", [13, 2])
@pytest.mark.parametrize("name", ["last_e_nano", "last_e_large", "last_lite_nano", "last_v2_small"])
def test_folding_keeps_the_function_of_odd_and_short_windows(name: str, frames: int) -> None:
    check_folding(name, InputSpec(get_layout("shrec22"), frames=frames))


@pytest.mark.parametrize("signer", [False, True])
@pytest.mark.parametrize("fingers", [False, True])
def test_folding_keeps_the_function_of_a_pose_transformer(fingers: bool, signer: bool) -> None:
    check_folding("pose_transformer_small", SPECS["shoulders"], fingers=fingers, signer=signer)


def test_folding_keeps_the_function_of_a_point_kernel_of_signs() -> None:
    check_folding("point_kernel", SPECS["shoulders"], signer=True)


@pytest.mark.parametrize("bodies", ["first", "mean", "max"])
@pytest.mark.parametrize("name", ["last_e_nano", "last_lite_nano", "last_v2_small"])
def test_folding_keeps_the_function_of_several_bodies(name: str, bodies: str) -> None:
    check_folding(name, SPECS["two bodies"], bodies=bodies)


def test_folding_leaves_the_model_alone() -> None:
    model = trained("last_e_nano", SPECS["shrec22"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.deployed()
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_no_norm_drop_or_mask_is_left() -> None:
    edge = trained("last_e_nano", SPECS["shrec22"], drop_path_rate=0.2).deployed()
    kinds = {type(module).__name__ for module in edge.modules()}
    assert not {kind for kind in kinds if "Norm" in kind or "Drop" in kind or kind == "SpatialGCN"}


def test_lite_has_no_input_dependent_part() -> None:
    """Scaling what leaves the stem scales what reaches the head: without biases the body is homogeneous."""
    edge = trained("last_lite_nano", SPECS["shrec22"]).deployed()
    for module in edge.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            module.bias.data.zero_()
    blocks = nn.Sequential(*edge.body.stages)  # type: ignore[arg-type]
    x = torch.randn(2, 24, 16, 22)
    with torch.no_grad():
        torch.testing.assert_close(blocks(3 * x), 3 * blocks(x), atol=1e-4, rtol=1e-4)


def test_another_family_is_refused() -> None:
    with pytest.raises(UsageError, match="no edge form"):
        LandmarkModel(SPECS["shrec22"], nn.Flatten()).deployed()
