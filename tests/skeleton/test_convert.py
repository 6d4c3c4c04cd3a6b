"""Layout conversion: joints land where they belong, missing points stay missing."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.errors import UsageError
from last_edge.runtime.landmarks import detector_for
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.skeleton.convert import conversions, convert, convert_clip


def numbered(layout: str) -> np.ndarray:
    """(1, 2, V, 3) points whose x is the joint's number."""
    points = np.zeros((1, 2, get_layout(layout).joints, 3), np.float32)
    points[..., 0] = np.arange(points.shape[2])
    return points


def test_palm_is_the_mean_of_wrist_and_knuckles():
    hand = np.random.default_rng(0).normal(size=(1, 4, 21, 3)).astype(np.float32)
    shrec = convert(hand, source="mediapipe_hand21", target="shrec22")
    np.testing.assert_allclose(shrec[:, :, 1], hand[:, :, [0, 5, 9, 13, 17]].mean(2), rtol=1e-6)
    np.testing.assert_array_equal(shrec[:, :, 0], hand[:, :, 0])
    np.testing.assert_array_equal(shrec[:, :, 2:], hand[:, :, 1:])


def test_shrec_to_hand_is_the_way_back():
    hand = np.random.default_rng(1).normal(size=(1, 4, 21, 3)).astype(np.float32)
    there = convert(hand, source="mediapipe_hand21", target="shrec22")
    np.testing.assert_array_equal(convert(there, source="shrec22", target="mediapipe_hand21"), hand)


@pytest.mark.parametrize(("side", "first"), [("left", 33), ("right", 54)])
def test_a_hand_is_cut_out_of_the_body(side, first):
    hand = convert(
        numbered("mediapipe_holistic75"), source="mediapipe_holistic75", target="mediapipe_hand21", side=side
    )
    assert hand[0, 0, :, 0].tolist() == list(range(first, first + 21))


def test_openpose_body_keeps_sides_and_lacks_what_it_never_had():
    body = convert(numbered("openpose137"), source="openpose137", target="mediapipe_holistic75")
    names = get_layout("mediapipe_holistic75").names
    assert body[0, 0, names.index("left_shoulder"), 0] == 5
    assert body[0, 0, names.index("right_foot_index"), 0] == 22
    assert np.isnan(body[0, 0, names.index("left_pinky")]).all()


def test_a_camera_feeds_openpose_with_what_it_sees():
    body = convert(numbered("mediapipe_holistic83"), source="mediapipe_holistic83", target="openpose137")[0, 0, :, 0]
    places = {name: place for place, name in enumerate(get_layout("openpose137").names)}
    from_names = {name: place for place, name in enumerate(get_layout("mediapipe_holistic83").names)}
    assert body[places["neck"]] == (from_names["left_shoulder"] + from_names["right_shoulder"]) / 2
    assert body[places["right_hand_index_tip"]] == from_names["right_hand_index_tip"]
    assert body[places["face_48_mouth"]] == from_names["face_mouth_right"]
    assert np.isnan(body[[places["face_00_jaw"], places["left_small_toe"]]]).all()
    assert int((~np.isnan(body)).sum()) == 23 + 42 + 8
    assert detector_for(get_layout("openpose137")) == "holistic"


@pytest.mark.parametrize(("source", "target"), conversions())
def test_every_conversion_fits_its_layout_and_keeps_missing_points_missing(source, target):
    points = np.full((1, 3, get_layout(source).joints, 3), np.nan, np.float32)
    clip = SkeletonClip.from_points(
        points, layout=get_layout(source), fps=30, units="metres", label="x", text="so it is said", subject="ann"
    )
    converted = convert_clip(clip, get_layout(target))
    assert converted.coords.shape == (1, 3, get_layout(target).joints, 3)
    assert np.isnan(converted.coords).all()
    assert converted.label == "x" and converted.about == clip.about


def test_palm_is_missing_when_one_knuckle_is():
    hand = np.zeros((1, 1, 21, 3), np.float32)
    hand[0, 0, 9] = np.nan
    assert np.isnan(convert(hand, source="mediapipe_hand21", target="shrec22")[0, 0, 1]).all()


def test_senseless_conversion_lists_the_sensible_ones():
    with pytest.raises(UsageError, match="kinect20"):
        convert(numbered("ntu25"), source="ntu25", target="shrec22")


@pytest.mark.parametrize("sensor", ["kinect20", "ntu25"])
def test_a_kinects_trunk_is_the_mean_of_what_a_pose_shows(sensor):
    points = np.random.default_rng(0).normal(size=(4, 33, 3)).astype(np.float32)
    made = convert(points, source="mediapipe_pose33", target=sensor)
    names = get_layout(sensor).names
    shoulders = points[:, [11, 12]].mean(1)
    np.testing.assert_allclose(
        made[:, names.index("shoulder_centre" if sensor == "kinect20" else "spine_shoulder")], shoulders
    )
    np.testing.assert_allclose(made[:, names.index("left_wrist")], points[:, 15])
    assert not np.isnan(made).any()
