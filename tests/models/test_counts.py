"""Parameter and operation counts that the published descriptions of the family pin down, at 25 joints."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from last_edge.inputs import InputSpec
from last_edge.models import create_model, model_names
from last_edge.models.describe import count, describe_models
from last_edge.models.landmark_model import LandmarkModel
from last_edge.models.last_v2 import Block
from last_edge.models.registry import streamer_names
from last_edge.models.sign2text import create_translator, translator_names
from last_edge.skeleton import Layout
from last_edge.skeleton.layout import load_layout
from last_edge.tasks.config import TranslateConfig

COUNTS = {
    "last_e_nano": 82_847,
    "last_e_small": 344_727,
    "last_e_base": 720_028,
    "last_e_large": 1_080_668,
    "last_lite_nano": 65_654,
    "last_lite_small": 297_934,
    "last_lite_trim": 187_614,
    "last_v2_small": 2_938_564,
    "last_v2_base": 9_217_256,
    "last_v2_large": 19_920_076,
}
COUNTS_120 = {"last_e_nano": 86_747, "last_e_small": 350_547, "last_e_base": 727_768, "last_e_large": 1_090_328}
INFERENCE = {**COUNTS, "last_e_base": 687_004, "last_e_large": 1_039_452}
ATTENTION_IN_LAST_STAGE = {
    "last_e_nano": 79_359,
    "last_e_small": 333_879,
    "last_e_base": 692_764,
    "last_e_large": 1_042_012,
}
NO_ATTENTION = {"last_e_nano": 75_135, "last_e_small": 315_063, "last_e_base": 659_484, "last_e_large": 990_172}
GFLOPS = {
    "last_e_nano": 0.136,
    "last_e_small": 0.484,
    "last_e_base": 1.052,
    "last_e_large": 1.501,
    "last_lite_nano": 0.136,
    "last_lite_small": 0.529,
    "last_v2_small": 19.05,
    "last_v2_base": 62.54,
    "last_v2_large": 132.90,
}
V2_BASE_SPLIT = {
    "gcn": 4_397_018,
    "temporal": 3_731_136,
    "st_att": 964_992,
    "residual": 94_464,
    "head": 23_100,
    "gcn_bn": 6_528,
    "norms": 18,
}


def hollow(name: str, layout: Layout, classes: int = 60, **options: Any) -> LandmarkModel:
    """A model without memory for its weights."""
    with torch.device("meta"):
        return create_model(name, spec=InputSpec(layout), classes=classes, **options)


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in describe_models(layout="ntu25", classes=60)}


def test_every_model_is_pinned(rows: dict[str, dict[str, Any]]) -> None:
    pinned = {name: row for name, row in rows.items() if name in COUNTS}
    assert {name: row["params"] for name, row in pinned.items()} == COUNTS
    assert {name: row["inference_params"] for name, row in pinned.items()} == INFERENCE
    assert set(rows) == {*model_names(), *streamer_names(), *translator_names()}


def test_translators_are_listed_for_what_they_are(rows: dict[str, dict[str, Any]]) -> None:
    row, shipped = rows["sign2text_v4"], TranslateConfig().vocabulary
    spec = InputSpec(load_layout("ntu25"), frames=64)
    assert row["params"] == count(create_translator("sign2text_v4", spec=spec, tokens=shipped))
    assert row["gives"] == "a sentence" and rows["last_e_nano"]["gives"] == "a class" and row["gflops"] > 0


def test_streaming_models_are_listed_for_what_they_are(rows: dict[str, dict[str, Any]]) -> None:
    row = rows["last_lite_stream_nano"]
    assert row["streamable"] and row["gives"] == "a class a frame" and row["receptive_field"] > 64


@pytest.mark.parametrize(("name", "expected"), GFLOPS.items())
def test_operations_at_64_frames(rows: dict[str, dict[str, Any]], name: str, expected: float) -> None:
    assert rows[name]["gflops"] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("name", "expected"), COUNTS_120.items())
def test_parameters_at_120_classes(ntu25: Layout, name: str, expected: int) -> None:
    assert count(hollow(name, ntu25, 120)) == expected


@pytest.mark.parametrize("name", NO_ATTENTION)
def test_joint_attention_switch(ntu25: Layout, name: str) -> None:
    last = hollow(name, ntu25, use_st_att=(False, False, True))
    none = hollow(name, ntu25, use_st_att=[False, False, False])
    assert (count(last), count(none)) == (ATTENTION_IN_LAST_STAGE[name], NO_ATTENTION[name])


def test_where_the_parameters_of_v2_base_are(ntu25: Layout) -> None:
    body = hollow("last_v2_base", ntu25).body
    split = Counter({part: count(getattr(body, part)) for part in ("head", "norms")})
    for block in (module for module in body.modules() if isinstance(module, Block)):
        split.update({part: count(module) for part, module in block.named_children()})
    assert dict(split) == V2_BASE_SPLIT


def test_where_the_parameters_of_e_base_are(ntu25: Layout) -> None:
    model = hollow("last_e_base", ntu25)
    blocks = [block for stage in model.body.stages for block in stage]  # type: ignore[union-attr]
    split = {part: sum(count(getattr(block, part)) for block in blocks) for part in ("gcn", "tcn", "gate", "st_att")}
    assert split == {"gcn": 290_302, "tcn": 275_136, "gate": 30_272, "st_att": 60_544}
    assert sum(count(block.residual) for block in blocks) == 22_080


def test_what_a_position_depends_on(rows: dict[str, dict[str, Any]]) -> None:
    fields = {name: row["receptive_field"] for name, row in rows.items() if name in COUNTS}
    lite = {"last_lite_nano": 18, "last_lite_small": 42, "last_lite_trim": 42}
    assert fields == {name: lite.get(name) for name in COUNTS}


@pytest.mark.parametrize("streams", [("joint", "velocity", "bone"), ("joint",)])
def test_receptive_field_is_where_the_gradient_reaches(toy_layout: Layout, streams: tuple[Any, ...]) -> None:
    spec = InputSpec(toy_layout, centre="none", streams=streams)
    model = create_model("last_lite_nano", spec=spec, classes=3).eval()
    points = torch.randn(1, *spec.shape, requires_grad=True)
    feature = model.body.stage_features(model.front(points))[-1]  # type: ignore[operator]
    feature[:, :, 8].square().sum().backward()
    assert points.grad is not None
    frames = points.grad.abs().sum((0, 2, 3)).nonzero().flatten()
    assert frames[-1] - frames[0] + 1 == model.body.receptive_field()  # type: ignore[operator]
