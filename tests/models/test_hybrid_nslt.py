"""The NSLT recogniser: what each fusion reads, what missing features change, positions, depth, and how it starts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from last_edge.errors import InputError, UsageError
from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.describe import count
from last_edge.models.hybrid_nslt import Positions, sinusoidal
from last_edge.models.landmark_model import LandmarkModel
from last_edge.skeleton import get_layout

FUSIONS = ("concat", "gated", "cross")
SPEC = InputSpec(get_layout("mediapipe_hand21"), frames=8, streams=("joint",))


def made(classes: int = 6, **options: object) -> LandmarkModel:
    torch.manual_seed(3)
    small = {"width": 16, "heads": 2, "layers": 1, "feature_dim": 5, "feature_frames": 4}
    model = create_model("hybrid_nslt", spec=SPEC, classes=classes, **{**small, **options}).eval()
    nn.init.normal_(model.body.head.fc.weight)  # type: ignore[union-attr, arg-type]
    return model


def inputs(clips: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    return torch.randn(clips, *SPEC.shape), torch.randn(clips, 4, 5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_both_inputs_decide(fusion: str) -> None:
    model, (points, features) = made(fusion=fusion), inputs()
    logits = model(points, features)
    assert logits.shape == (3, 6)
    assert not torch.allclose(logits, model(points + torch.randn_like(points), features))
    assert not torch.allclose(logits, model(points, features.flip(1) * 2))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_missing_rows_are_not_read(fusion: str) -> None:
    model, (points, features) = made(fusion=fusion), inputs()
    features[0, 2:] = torch.nan
    logits = model(points, features)
    assert torch.isfinite(logits).all()
    partly = features.clone()
    partly[0, 2:, 0] = 7.0  # a row with any missing number is missing
    torch.testing.assert_close(model(points, partly), logits)
    torch.testing.assert_close(model(points), model(points, torch.full_like(features, torch.nan)))


def test_cross_attention_reads_time() -> None:
    """Each frame's token weighs the rows by their content: with one token a side there would be nothing to weigh."""
    model, (points, features) = made(fusion="cross"), inputs()
    marked = features.clone()
    marked[:, 1] *= 3
    tokens, seen = model.body.landmarks(model.front(points))  # type: ignore[union-attr, operator]
    reads = [model.body.join.own(tokens, *model.body.visual(rows)) for rows in (features, marked)]  # type: ignore[union-attr, operator]
    changed = (reads[0] - reads[1]).abs().amax(-1)
    assert changed.shape == (3, 8) and (changed.std(1) > 0).all()


def test_the_gate_blends() -> None:
    model, (points, features) = made(fusion="gated"), inputs()
    join = model.body.join  # type: ignore[union-attr]
    nn.init.zeros_(join.gate.weight)  # type: ignore[union-attr, arg-type]
    for bias, other in ((-40.0, features * 9), (40.0, features)):
        nn.init.constant_(join.gate.bias, bias)  # type: ignore[union-attr, arg-type]
        moved = points if bias < 0 else points + 1
        torch.testing.assert_close(model(moved, other), model(points, features))


def test_sinusoidal_positions_are_those_of_the_paper() -> None:
    table = sinusoidal(20, 12)
    for place, column in ((0, 0), (7, 4), (19, 11)):
        angle = place / 10_000 ** (2 * (column // 2) / 12)
        expected = math.sin(angle) if column % 2 == 0 else math.cos(angle)
        assert table[place, column].item() == pytest.approx(expected, abs=1e-5)
    assert sinusoidal(3, 5).shape == (3, 5)


def test_legacy_positions_are_learnt() -> None:
    legacy, fixed = made(sinusoidal_positions=False), made()
    assert count(legacy) - count(fixed) == (8 + 4) * 16
    assert isinstance(Positions(4, 8, fixed=False).table, nn.Parameter)
    assert "body.visual.place.table" not in fixed.state_dict()


def test_the_head_deepens_above_500_classes() -> None:
    def linears(classes: int) -> list[tuple[int, int]]:
        head = made(classes).body.head  # type: ignore[union-attr]
        return [(part.in_features, part.out_features) for part in head.modules() if isinstance(part, nn.Linear)]

    assert sorted(linears(500)) == sorted([(32, 16), (16, 500)])
    assert sorted(linears(501)) == sorted([(32, 32), (32, 16), (16, 501)])


def test_the_last_layer_starts_small() -> None:
    torch.manual_seed(0)
    model = create_model("hybrid_nslt", spec=SPEC, classes=600, width=64)
    weight = model.body.head.fc.weight  # type: ignore[union-attr]
    bound = 0.1 * math.sqrt(6 / (64 + 600))
    assert 0.9 * bound < weight.abs().max() <= bound  # type: ignore[operator, union-attr]


def test_it_stands_at_512_and_half_dropped() -> None:
    options = create_model("hybrid_nslt", spec=SPEC, classes=1000).body.options  # type: ignore[union-attr]
    assert (options.width, options.dropout, options.heads, options.layers) == (512, 0.5, 4, 2)  # type: ignore[union-attr]


def test_it_does_not_learn_without_features() -> None:
    model, (points, _) = made().train(), inputs()
    with pytest.raises(UsageError, match="brings no features"):
        model(points)


def test_faults_are_named() -> None:
    with pytest.raises(UsageError, match="gated"):
        made(fusion="gate")
    with pytest.raises(InputError, match="landmarks"):
        made(features="landmarks")
