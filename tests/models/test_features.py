"""Stage features: one forward pass gives them with the very logits, one map a clip, absent bodies left out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.landmark_model import LandmarkModel
from last_edge.skeleton import Layout

SMALL_V2: dict[str, Any] = {"widths": (8, 12, 16), "blocks": (1, 1, 1)}


def model(name: str, layout: Layout, *, persons: int = 1, **options: Any) -> LandmarkModel:
    torch.manual_seed(0)
    spec = InputSpec(layout, frames=16, bodies=persons)
    return create_model(name, spec=spec, classes=3, **options).eval()


@pytest.mark.parametrize(
    ("name", "options"), [("last_lite_nano", {}), ("last_e_nano", {}), ("last_v2_small", SMALL_V2)]
)
def test_one_pass_gives_maps_and_the_same_logits(toy_layout: Layout, name: str, options: dict[str, Any]) -> None:
    whole = model(name, toy_layout, **options)
    points = torch.randn(4, 16, 5, 3)
    maps, logits = whole.features_and_logits(whole.front(points))
    torch.testing.assert_close(logits, whole(points))
    assert whole.stage_widths() == tuple(x.shape[1] for x in maps)
    assert [tuple(x.shape) for x in maps] == [
        (4, c, t, 5) for c, t in zip(whole.stage_widths(), (16, 8, 4), strict=True)
    ]


@pytest.mark.parametrize(("name", "options"), [("last_e_nano", {"bodies": "max"}), ("last_v2_small", SMALL_V2)])
def test_a_clips_map_is_the_mean_over_bodies_present(toy_layout: Layout, name: str, options: dict[str, Any]) -> None:
    whole = model(name, toy_layout, persons=2, **options)
    single = model(name, toy_layout, **{**options, "bodies": "first"})
    single.load_state_dict(whole.state_dict())
    points = torch.randn(2, 2, 16, 5, 3)
    points[1, 1] = torch.nan
    streams = whole.front(points)
    maps, logits = whole.features_and_logits(streams)
    torch.testing.assert_close(logits, whole(points))
    one, other = (single.features_and_logits(streams[:, body])[0] for body in (0, 1))
    for got, first, second in zip(maps, one, other, strict=True):
        torch.testing.assert_close(got[0], (first[0] + second[0]) / 2)
        torch.testing.assert_close(got[1], first[1])
