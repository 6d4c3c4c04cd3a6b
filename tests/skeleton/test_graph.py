"""A layout as a graph: partitions cover each hop once, and regions cut every layout into groups that move as one."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.skeleton import Layout, get_layout, layout_names
from last_edge.skeleton.layout import body_regions, centre_distance, hop_distance, spatial_partition

EXPECTED = {
    "coco17": {"head", "left_arm", "right_arm", "left_leg", "right_leg"},
    "coco18": {"head", "trunk", "left_arm", "right_arm", "left_leg", "right_leg"},
    "body25": {"head", "trunk", "left_arm", "right_arm", "left_leg", "right_leg"},
    "leap20": {"palm", "thumb", "index", "middle", "ring", "pinky"},
    "hololens26": {"palm", "thumb", "index", "middle", "ring", "pinky"},
    "shrec22": {"palm", "thumb", "index", "middle", "ring", "pinky"},
    "mediapipe_hand21": {"palm", "thumb", "index", "middle", "ring", "pinky"},
    "kinect20": {"trunk", "left_arm", "right_arm", "left_leg", "right_leg"},
    "ntu25": {"trunk", "left_arm", "right_arm", "left_leg", "right_leg"},
    "mediapipe_pose33": {"head", "left_arm", "right_arm", "left_leg", "right_leg"},
    "mediapipe_holistic75": {"head", "left_arm", "right_arm", "left_leg", "right_leg", "left_hand", "right_hand"},
    "mediapipe_holistic83": {
        "head", "left_arm", "right_arm", "left_leg", "right_leg", "left_hand", "right_hand", "face",
    },
    "phoenix50": {"head", "trunk", "left_arm", "right_arm", "left_hand", "right_hand"},
    "openpose137": {
        "head", "trunk", "left_arm", "right_arm", "left_leg", "right_leg", "left_hand", "right_hand", "face",
    },
}  # fmt: skip


def test_subset_sizes_of_the_25_joint_tree(ntu25: Layout) -> None:
    sizes = [int((subset > 0).sum()) for subset in spatial_partition(ntu25, max_hop=1)]
    assert sizes == [25, 24, 24]


@pytest.mark.parametrize("name", layout_names())
@pytest.mark.parametrize("max_hop", [1, 2, 3])
def test_subsets_cover_every_pair_within_reach_once(name: str, max_hop: int) -> None:
    layout = get_layout(name)
    subsets = spatial_partition(layout, max_hop=max_hop) > 0
    assert subsets.shape == (2 * max_hop + 1, layout.joints, layout.joints)
    np.testing.assert_array_equal(subsets.sum(0), hop_distance(layout) <= max_hop)


def test_normalised_by_the_degree_of_the_union(toy_layout: Layout) -> None:
    union = spatial_partition(toy_layout, max_hop=1).sum(0)
    degree = (union > 0).sum(1)
    expected = (union > 0) / np.sqrt(np.outer(degree, degree))
    np.testing.assert_allclose(union, expected, rtol=1e-6)


def test_every_joint_knows_its_way_to_the_centre(ntu25: Layout) -> None:
    assert centre_distance(ntu25).max() < ntu25.joints
    legacy, full = (spatial_partition(ntu25, max_hop=1, legacy=legacy) > 0 for legacy in (True, False))
    assert legacy[1].sum() > full[1].sum()


@pytest.mark.parametrize("name", layout_names())
def test_every_joint_is_in_exactly_one_region(name: str) -> None:
    layout = get_layout(name)
    regions = body_regions(layout)
    assert set(regions) == EXPECTED[name]
    assert sorted(joint for joints in regions.values() for joint in joints) == list(range(layout.joints))


def test_a_knuckle_belongs_to_its_finger() -> None:
    regions = body_regions(get_layout("mediapipe_hand21"))
    assert regions["palm"] == (0,)
    assert regions["index"] == (5, 6, 7, 8)


def test_the_regions_of_ntu_are_the_published_five() -> None:
    regions = body_regions(get_layout("ntu25"))
    assert set(regions["left_arm"]) == {4, 5, 6, 7, 21, 22}
    assert set(regions["trunk"]) == {0, 1, 2, 3, 20}


def test_a_layout_without_parts_is_cut_where_its_tree_branches(toy_layout: Layout) -> None:
    assert body_regions(toy_layout) == {"root": (0,), "left": (1, 3), "right": (2, 4)}


def test_joints_of_no_part_keep_a_region_of_their_own() -> None:
    layout = Layout("glove", ("wrist", "a", "b", "c"), (0, 0, 1, 0), parts={"thumb": (3,)})
    assert body_regions(layout) == {"thumb": (3,), "wrist": (0,), "a": (1, 2)}
