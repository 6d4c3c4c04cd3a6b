"""Options of LAST-E: fusion, information bottleneck, bodies, the spectrum's gate; faults are named."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from last_edge.errors import UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model, resolve_name
from last_edge.models.describe import describe
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.layers.gates import HybridGate, MotionGate, band_power
from last_edge.models.layers.head import StreamFusionSoftmax, divergence
from last_edge.skeleton import Layout


def nano(layout: Layout, *, body_slots: int = 1, **options: Any) -> LandmarkModel:
    """A LAST-E nano for 16 frames and 4 classes whose classifier is not near 0."""
    torch.manual_seed(1)
    spec = InputSpec(layout, frames=16, bodies=body_slots)
    model = create_model("last_e_nano", spec=spec, classes=4, **options)
    torch.nn.init.normal_(model.body.head.fc.weight)  # type: ignore[union-attr, arg-type]
    return model


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("base", "last_v2_base"),
        ("nano_e_v3", "last_e_nano"),
        ("small_e_v3", "last_e_small"),
        ("base_e_v3", "last_e_base"),
        ("large_e_v3", "last_e_large"),
    ],
)
def test_the_documents_names(alias: str, name: str) -> None:
    assert resolve_name(alias) == name


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"fusion": "softmx"}, "softmax"),
        ({"ib": "sample"}, "sampled"),
        ({"bodies": "mena"}, "mean"),
        ({"use_st_att": [True, False]}, "use_st_att"),
        ({"use_st_att": True}, "use_st_att"),
    ],
)
def test_faults_are_named(toy_layout: Layout, options: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        nano(toy_layout, **options)


def test_a_fresh_softmax_blend_is_the_mean_of_the_streams() -> None:
    fusion = StreamFusionSoftmax(streams=3, axes=3, channels=8).eval()
    x = torch.randn(2, 3, 4, 5)
    alone = torch.relu(fusion.stem_norms[0](fusion.conv(fusion.norms[0](x))))
    torch.testing.assert_close(fusion(torch.cat([x, x, x], dim=1)), alone)


def test_softmax_weights_choose_a_stream() -> None:
    fusion = StreamFusionSoftmax(streams=2, axes=3, channels=8).eval()
    fusion.stream_weights.data[1] = 30.0
    x = torch.randn(2, 6, 4, 5)
    changed = x.clone()
    changed[:, :3] += 5
    torch.testing.assert_close(fusion(x), fusion(changed))


@pytest.mark.parametrize(("how", "either_way"), [("first", False), ("mean", True), ("max", True)])
def test_bodies(toy_layout: Layout, how: str, either_way: bool) -> None:
    model = nano(toy_layout, body_slots=2, bodies=how).eval()
    alone = nano(toy_layout).eval()
    alone.load_state_dict(model.state_dict())
    streams = torch.randn(3, 2, 9, 16, 5)
    with torch.no_grad():
        same = torch.allclose(model.from_streams(streams), model.from_streams(streams.flip(1)), atol=1e-5)
        assert same == either_way
        streams[:, 1] = 0
        torch.testing.assert_close(model.from_streams(streams), alone.from_streams(streams[:, 0]))


def test_a_body_in_the_second_slot_is_found(toy_layout: Layout) -> None:
    model = nano(toy_layout, body_slots=2, bodies="mean").eval()
    streams = torch.randn(3, 2, 9, 16, 5)
    streams[:, 0] = 0
    torch.testing.assert_close(model.from_streams(streams), model.from_streams(streams.flip(1)))


def test_divergence_against_torch() -> None:
    mu, logvar = torch.randn(6, 5), torch.randn(6, 5)
    latent = torch.distributions.Normal(mu, (logvar / 2).exp())
    expected = torch.distributions.kl_divergence(latent, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(divergence(mu, logvar), expected)


@pytest.mark.parametrize("ib", ["none", "norm", "sampled"])
def test_auxiliary_loss_is_there_after_training_forwards_only(toy_layout: Layout, ib: str) -> None:
    model = nano(toy_layout, ib=ib, dropout=0.0)
    points = torch.randn(4, *model.spec.shape)
    model.train()(points)
    loss = model.auxiliary_loss()
    assert (loss is None) == (ib == "none")
    if loss is not None:
        loss.backward()
        assert model.body.fusion.conv.weight.grad.abs().sum() > 0  # type: ignore[union-attr]
        copy.deepcopy(model).load_state_dict(pickle.loads(pickle.dumps(model)).state_dict())  # noqa: S301
    model.eval()(points)
    assert model.auxiliary_loss() is None


def test_only_the_sampled_latent_makes_training_forwards_random(toy_layout: Layout) -> None:
    for ib, random in (("norm", False), ("sampled", True)):
        model = nano(toy_layout, ib=ib, dropout=0.0)
        points = torch.randn(4, *model.spec.shape)
        assert torch.equal(model.train()(points), model(points)) != random
        assert torch.equal(model.eval()(points), model(points))


def test_the_norm_bottleneck_does_not_touch_the_logits(toy_layout: Layout) -> None:
    plain, regularised = nano(toy_layout).eval(), nano(toy_layout, ib="norm").eval()
    left = regularised.load_state_dict(plain.state_dict(), strict=False)
    points = torch.randn(2, *plain.spec.shape)
    torch.testing.assert_close(plain(points), regularised(points))
    assert not left.unexpected_keys and all(key.startswith("body.head.ib.") for key in left.missing_keys)


@pytest.mark.parametrize(("ib", "dropped"), [("none", 0), ("norm", 2 * (64 * 64 + 64)), ("sampled", 64 * 64 + 64)])
def test_what_is_left_once_trained(toy_layout: Layout, ib: str, dropped: int) -> None:
    row = describe("nano", nano(toy_layout, ib=ib))
    assert row["params"] - row["inference_params"] == dropped


def test_a_wide_feature_is_classified_from_a_narrower_latent(toy_layout: Layout) -> None:
    spec = InputSpec(toy_layout, frames=16)
    model = create_model("last_e_large", spec=spec, classes=4, ib="sampled")
    assert model.body.head.fc.in_features == 128  # type: ignore[union-attr]
    assert model.eval()(torch.randn(2, *spec.shape)).shape == (2, 4)


def test_hybrid_gates_are_in_the_last_stage_of_large_only(toy_layout: Layout) -> None:
    model = create_model("last_e_large", spec=InputSpec(toy_layout, frames=16), classes=4)
    kinds = [{type(block.gate) for block in stage} for stage in model.body.stages]  # type: ignore[union-attr]
    assert kinds == [{MotionGate}, {MotionGate}, {HybridGate}]


def test_band_power_of_a_tone_is_in_its_band() -> None:
    time = np.arange(16)
    for band, cycles in enumerate((1, 4, 7)):
        tone = torch.tensor(np.sin(2 * np.pi * cycles * time / 16), dtype=torch.float32).reshape(1, 1, 16, 1)
        power = band_power(tone.expand(1, 1, 16, 3))[0]
        assert power.argmax() == band
        assert power.sum() == pytest.approx(4.0 / 3, rel=1e-4)


@pytest.mark.parametrize("frames", [1, 2, 3, 16])
def test_gates_stand_few_frames(frames: int) -> None:
    for gate in (MotionGate(8), HybridGate(8)):
        gate.alpha.data.fill_(0.5)
        assert torch.isfinite(gate(torch.randn(2, 8, frames, 5))).all()
