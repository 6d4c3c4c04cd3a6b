"""Shipped layouts: sizes, trees, left/right symmetry, and what a user's own layout file may not say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from last_edge.errors import InputError
from last_edge.skeleton import get_layout, layout_names, load_layout
from last_edge.skeleton.layout import UNREACHED, hop_distance, spatial_partition

JOINTS = {
    "shrec22": 22,
    "mediapipe_hand21": 21,
    "mediapipe_pose33": 33,
    "mediapipe_holistic75": 75,
    "mediapipe_holistic83": 83,
    "kinect20": 20,
    "ntu25": 25,
    "phoenix50": 50,
    "openpose137": 137,
    "coco17": 17,
    "coco18": 18,
    "body25": 25,
    "leap20": 20,
    "hololens26": 26,
}
NTU_BONES = {
    (1, 0), (20, 1), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (21, 7), (22, 6), (8, 20), (9, 8),
    (10, 9), (11, 10), (23, 11), (24, 10), (12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18),
}  # fmt: skip


def test_all_layouts_are_shipped_with_their_joint_counts():
    assert {name: get_layout(name).joints for name in layout_names()} == JOINTS


@pytest.mark.parametrize("name", JOINTS)
def test_graph_is_connected_and_every_joint_belongs_to_a_part(name):
    layout = get_layout(name)
    assert layout.name == name
    assert hop_distance(layout).max() < UNREACHED
    assert {joint for part in layout.parts.values() for joint in part} == set(range(layout.joints))
    assert layout.scale is not None


@pytest.mark.parametrize("name", JOINTS)
def test_tree_and_limbs_are_their_own_mirror_image(name):
    layout, mirror = get_layout(name), get_layout(name).mirror
    assert [mirror[parent] for parent in layout.parents] == [
        layout.parents[mirror[joint]] for joint in range(layout.joints)
    ]
    limbs = {frozenset(limb) for limb in layout.limbs}
    assert {frozenset(mirror[end] for end in limb) for limb in limbs} == limbs


@pytest.mark.parametrize("name", [name for name in JOINTS if name not in ("shrec22", "mediapipe_hand21")])
def test_pairs_join_left_and_right_of_one_name(name):
    layout = get_layout(name)
    for left, right in layout.pairs:
        names = layout.names[left], layout.names[right]
        if not names[0].startswith("face_"):
            assert names[0].replace("left", "right") == names[1]
    sided = [joint for joint, title in enumerate(layout.names) if "left" in title or "right" in title]
    paired = {joint for pair in layout.pairs for joint in pair}
    assert set(sided) <= paired


def test_ntu_tree_is_the_published_bone_list():
    layout = get_layout("ntu25")
    assert {edge for edge in enumerate(layout.parents) if edge[0] != edge[1]} == NTU_BONES


def test_ntu_partition_reaches_every_joint_from_the_centre():
    layout = get_layout("ntu25")
    counts = [int((subset > 0).sum()) for subset in spatial_partition(layout, max_hop=1)]
    assert counts == [25, 24, 24]
    legacy = [int((subset > 0).sum()) for subset in spatial_partition(layout, max_hop=1, legacy=True)]
    assert legacy == [25, 40, 8]


def test_holistic_hands_hang_from_the_body_wrists():
    layout = get_layout("mediapipe_holistic75")
    assert layout.names[layout.parents[33]] == "left_wrist"
    assert layout.names[layout.parents[54]] == "right_wrist"


def test_a_sensor_needs_no_code_only_a_file(tmp_path):
    file = tmp_path / "glove.json"
    file.write_text(json.dumps({"name": "glove", "names": ["wrist", "tip"], "parents": [0, 0]}))
    assert load_layout(str(file)).joints == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"parents": [1, 0]}, "cycle"),
        ({"parents": [0]}, "1 parents for 2 joints"),
        ({"pairs": [[0, 7]]}, "outside"),
        ({"joints": 2}, "unknown field 'joints'"),
    ],
)
def test_faulty_layout_file_is_refused_by_name(tmp_path, change, reason):
    file = tmp_path / "glove.json"
    file.write_text(json.dumps({"name": "glove", "names": ["wrist", "tip"], "parents": [0, 0]} | change))
    with pytest.raises(InputError, match=reason) as caught:
        load_layout(str(file))
    assert "glove" in str(caught.value)


def test_unknown_layout_names_the_nearest():
    with pytest.raises(InputError, match="shrec22"):
        get_layout("shrec2")


def test_layouts_that_are_described_in_other_words_are_the_same():
    layout = get_layout("shrec22")
    assert replace(layout, description="A hand.") == layout != replace(layout, centre=(0,))
