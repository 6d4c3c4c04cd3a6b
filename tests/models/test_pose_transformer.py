"""Pose transformers: counts of the published sizes, masked frames, faults."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from last_edge.errors import UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.describe import count
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.layers.attention import SelfAttention
from last_edge.skeleton import Layout, get_layout
from last_edge.skeleton.layout import mirror

SHOULDERS: dict[str, Any] = {"centre": "frame", "scale": "frame", "streams": ("joint",)}
FLAT = InputSpec(get_layout("mediapipe_holistic75"), frames=256, channels=2, **SHOULDERS)
FACED = InputSpec(get_layout("mediapipe_holistic83"), frames=256, channels=3, **SHOULDERS)
SHORT = InputSpec(get_layout("mediapipe_holistic83"), frames=12, **SHOULDERS)


def small(spec: InputSpec = SHORT, **options: Any) -> LandmarkModel:
    """A small model of 5 classes with weights far from 0, so that all of it counts."""
    torch.manual_seed(2)
    model = create_model("pose_transformer_small", spec=spec, classes=5, **options).eval()
    for weight in model.parameters():
        weight.data.add_(0.1 * torch.randn_like(weight))
    return model


@pytest.mark.parametrize(
    ("size", "classes", "spec", "expected"),
    [
        ("small", 20, FLAT, 177_556),
        ("small", 50, FLAT, 179_506),
        ("medium", 50, FLAT, 852_146),
        ("large", 50, FLAT, 4_856_626),
        ("small", 43, FACED, 187_307),
        ("small", 100, FACED, 191_012),
        ("large", 100, FACED, 4_902_500),
    ],
)
def test_parameters(size: str, classes: int, spec: InputSpec, expected: int) -> None:
    with torch.device("meta"):
        name = f"pose_transformer_{size}"
        assert count(create_model(name, spec=spec, classes=classes, fingers=spec is FACED)) == expected


@pytest.mark.parametrize(
    ("spec", "options", "features"),
    [
        (FLAT, {}, 150),
        (FACED, {"fingers": True}, 279),
        (FLAT, {"signer": True}, 262),
        (FACED, {"signer": True, "fingers": True}, 431),
    ],
)
def test_features_of_a_frame(spec: InputSpec, options: dict[str, Any], features: int) -> None:
    model = create_model("pose_transformer_small", spec=spec, classes=5, **options)
    frames, seen = model.body.features(model.front(torch.randn(2, *spec.shape)))  # type: ignore[operator]
    assert (frames.shape, seen.shape) == ((2, 256, features), (2, 256))


def test_a_signer_is_read_alike_with_either_hand() -> None:
    model, points = small(fingers=True, signer=True), torch.randn(2, *SHORT.shape)
    points[..., list(SHORT.layout.hands[:21]), :] = torch.nan
    mirrored = torch.from_numpy(mirror(points.numpy(), SHORT.layout))
    with torch.no_grad():
        torch.testing.assert_close(model(mirrored), model(points))
        without = small(fingers=True)
        assert (without(mirrored) - without(points)).abs().max() > 1e-3


def test_an_empty_frame_says_nothing_and_a_shown_one_does() -> None:
    model, points = small(fingers=True), torch.randn(1, *SHORT.shape)
    points[:, 7:] = torch.nan
    streams = model.front(points)
    with torch.no_grad():
        tokens, seen = model.body.features(streams)  # type: ignore[operator]
        assert seen[0].tolist() == [1.0] * 7 + [0.0] * 5 and not tokens[:, 7:].any()
        padded = model.from_streams(streams)
        model.body.positions.data[8:] += torch.randn(5, 64)  # type: ignore[union-attr, operator]
        torch.testing.assert_close(model.from_streams(streams), padded)
        model.body.positions.data[7] += torch.randn(64)  # type: ignore[union-attr, operator]
        assert (model.from_streams(streams) - padded).abs().max() > 1e-3


def test_nothing_shown_is_answered_by_the_class_token_alone() -> None:
    model = small()
    with torch.no_grad():
        nothing = model(torch.full((2, *SHORT.shape), torch.nan))
        model.body.positions.data[1:] += torch.randn(12, 64)  # type: ignore[union-attr, operator]
        torch.testing.assert_close(model(torch.full((2, *SHORT.shape), torch.nan)), nothing)


def test_the_order_of_frames_counts_and_a_second_body_does_not() -> None:
    model, points = small(), torch.randn(1, *SHORT.shape)
    assert (model(points) - model(points.flip(1))).abs().max() > 1e-3
    two = InputSpec(SHORT.layout, frames=12, bodies=2, **SHOULDERS)
    both = small(two)
    torch.testing.assert_close(both(torch.stack([points, torch.randn_like(points)], 1)), model(points))


def test_attention_is_torchs() -> None:
    torch.manual_seed(0)
    ours, theirs = SelfAttention(16, heads=4, dropout=0.0), torch.nn.MultiheadAttention(16, 4, batch_first=True)
    parts = [ours.query, ours.key, ours.value]
    theirs.in_proj_weight.data = torch.cat([part.weight for part in parts])
    theirs.in_proj_bias.data = torch.cat([part.bias for part in parts])
    theirs.out_proj.load_state_dict(ours.out.state_dict())
    x, keep = torch.randn(3, 6, 16), (torch.rand(3, 6) > 0.4).float()
    keep[:, 0] = 1
    expected, _ = theirs(x, x, x, key_padding_mask=keep == 0)
    torch.testing.assert_close(ours(x, keep), expected)


def test_faults_are_named(toy_layout: Layout) -> None:
    with pytest.raises(UsageError, match="both hands"):
        create_model("pose_transformer_small", spec=InputSpec(toy_layout), classes=3, fingers=True)
    for option in ("fingers", "signer"):
        with pytest.raises(UsageError, match="begin with joint"):
            small(InputSpec(SHORT.layout, streams=("bone",)), **{option: True})
    with pytest.raises(UsageError, match="arms and a head"):
        create_model("pose_transformer_small", spec=InputSpec(get_layout("shrec22")), classes=3, signer=True)
    with pytest.raises(UsageError, match="multiple of heads"):
        small(heads=7)
