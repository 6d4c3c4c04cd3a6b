"""Body regions: a cut of every layout into groups that move as one."""

from __future__ import annotations

import pytest

from last_edge.skeleton import Layout, get_layout, layout_names
from last_edge.skeleton.graph import body_regions

EXPECTED = {
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
