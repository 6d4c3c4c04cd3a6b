"""Mirroring negates x and exchanges sides; the unit of length is measured where it is seen."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.skeleton import get_layout, layout_names
from last_edge.skeleton.layout import PLANES, limb_length, limb_lengths, mirror, rotation


@pytest.mark.parametrize("name", layout_names())
def test_twice_is_nothing(name):
    points = np.random.default_rng(0).normal(size=(2, 3, get_layout(name).joints, 3)).astype(np.float32)
    points[0, 0, 0] = np.nan
    np.testing.assert_array_equal(mirror(mirror(points, get_layout(name)), get_layout(name)), points)


def test_raised_left_hand_becomes_a_raised_right_hand():
    layout = get_layout("kinect20")
    left, right = layout.names.index("left_hand"), layout.names.index("right_hand")
    points = np.zeros((1, 1, 20, 3), np.float32)
    points[0, 0, left] = (-0.5, 1.0, 2.0)
    seen = mirror(points, layout)
    assert seen[0, 0, right].tolist() == [0.5, 1.0, 2.0]
    assert not seen[0, 0, left].any()
    assert points[0, 0, left, 0] == -0.5


def test_bone_lengths_survive():
    layout = get_layout("ntu25")
    points = np.random.default_rng(1).normal(size=(1, 1, 25, 3)).astype(np.float32)
    parents = list(layout.parents)
    before = np.linalg.norm(points - points[:, :, parents], axis=-1)
    seen = mirror(points, layout)
    after = np.linalg.norm(seen - seen[:, :, parents], axis=-1)
    np.testing.assert_allclose(after, before[..., list(layout.mirror)], rtol=1e-6)


def test_the_limb_is_measured_where_it_is_seen() -> None:
    layout = get_layout("shrec22")
    body = np.zeros((3, 22, 3), np.float32)
    body[:, list(layout.scale[1]), 0] = [[2.0], [4.0], [np.nan]]
    np.testing.assert_array_equal(limb_lengths(body, layout), [2.0, 4.0, np.nan])
    assert limb_length(body, layout) == 3.0
    assert np.isnan(limb_length(body[2:], layout)) and np.isnan(limb_length(body * 0, layout))


def test_a_quarter_turn_takes_one_axis_to_the_next() -> None:
    for plane in PLANES:
        one, other = np.eye(3)[list(plane)]
        np.testing.assert_allclose(rotation(np.pi / 2, plane) @ one, other, atol=1e-12)
    assert rotation(np.zeros(4), (0, 1), axes=2).shape == (4, 2, 2)
