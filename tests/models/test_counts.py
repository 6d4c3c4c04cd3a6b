"""Parameter and operation counts that the published descriptions of the family pin down."""

from __future__ import annotations

import pytest

from last_edge.inputs import InputSpec
from last_edge.models import create_model
from last_edge.models.describe import gflops
from last_edge.skeleton import Layout

COUNTS = {
    "last_e_nano": 82_847,
    "last_e_small": 344_727,
    "last_lite_nano": 65_654,
    "last_lite_small": 297_934,
    "last_lite_trim": 187_614,
}
GFLOPS = {"last_e_nano": 0.136, "last_e_small": 0.484, "last_lite_nano": 0.136, "last_lite_small": 0.529}


def params(name: str, layout: Layout, classes: int, **options: object) -> int:
    model = create_model(name, spec=InputSpec(layout), classes=classes, **options)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_parameters_at_60_classes(ntu25: Layout, name: str, count: int) -> None:
    assert params(name, ntu25, 60) == count


@pytest.mark.parametrize(("name", "count"), [("last_e_nano", 86_747), ("last_e_small", 350_547)])
def test_parameters_at_120_classes(ntu25: Layout, name: str, count: int) -> None:
    assert params(name, ntu25, 120) == count


@pytest.mark.parametrize(
    ("name", "stages", "count"),
    [
        ("last_e_nano", (False, False, True), 79_359),
        ("last_e_nano", (False, False, False), 75_135),
        ("last_e_small", (False, False, True), 333_879),
        ("last_e_small", (False, False, False), 315_063),
    ],
)
def test_joint_attention_switch(ntu25: Layout, name: str, stages: tuple[bool, ...], count: int) -> None:
    assert params(name, ntu25, 60, use_st_att=stages) == count


@pytest.mark.parametrize(("name", "expected"), GFLOPS.items())
def test_operations_at_64_frames(ntu25: Layout, name: str, expected: float) -> None:
    model = create_model(name, spec=InputSpec(ntu25), classes=60)
    assert gflops(model) == pytest.approx(expected, rel=0.01)
