"""`.pose` files become clips in image heights; damaged ones are named."""

from __future__ import annotations

import io

import numpy as np
import pytest

from last_edge.clips.pose_file import pose_clip, read_pose
from last_edge.errors import InputError
from last_edge.skeleton import get_layout

pytest.importorskip("pose_format")


def pose_bytes(components, frames=6, *, width=200, height=100, confidence=1.0, value=50.0, fps=25):
    """A small `.pose` file: components is name -> point names; x counts up by point."""
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    parts = [PoseHeaderComponent(name, points, [], [(0, 0, 0)], "XYZC") for name, points in components.items()]
    header = PoseHeader(0.2, PoseHeaderDimensions(width, height, 0), parts)
    count = sum(map(len, components.values()))
    data = np.full((frames, 1, count, 3), value, np.float32)
    data[..., 0] = np.arange(count)
    sure = np.full((frames, 1, count), confidence, np.float32)
    buffer = io.BytesIO()
    Pose(header, NumPyPoseBody(fps, data, sure)).write(buffer)
    return buffer.getvalue()


def test_points_are_found_by_name_and_counted_in_image_heights():
    content = pose_bytes({"POSE_LANDMARKS": ["RIGHT_WRIST", "NOSE"], "RIGHT_HAND_LANDMARKS": ["INDEX_FINGER_TIP"]})
    clip = pose_clip(content, "x.pose")
    names = clip.layout.names
    assert (clip.layout.name, clip.units, clip.fps, clip.coords.shape) == (
        "mediapipe_holistic83",
        "image01",
        25,
        (1, 6, 83, 3),
    )
    np.testing.assert_allclose(clip.coords[0, 0, names.index("right_wrist")], [0.0, 0.5, 100])
    np.testing.assert_allclose(clip.coords[0, 0, names.index("nose")], [0.01, 0.5, 100])
    np.testing.assert_allclose(clip.coords[0, 0, names.index("right_hand_index_tip")], [0.02, 0.5, 100])
    assert np.isnan(clip.coords[0, 0]).any(-1).sum() == 80


def test_confidence_zero_is_missing():
    clip = pose_clip(pose_bytes({"POSE_LANDMARKS": ["NOSE"]}, confidence=0.0), "x.pose")
    assert np.isnan(clip.coords).all()


def test_converts_on_request():
    content = pose_bytes({"LEFT_HAND_LANDMARKS": ["WRIST"]})
    clip = pose_clip(content, "x.pose", layout=get_layout("mediapipe_holistic75"))
    assert clip.layout.name == "mediapipe_holistic75"
    assert np.flatnonzero(~np.isnan(clip.coords[0, 0, :, 0])).tolist() == [33]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged"),
        (b"not a pose file at all", "damaged"),
        (pose_bytes({"POSE_LANDMARKS": ["NOSE"]})[:-5], "damaged"),
        (pose_bytes({"POSE_LANDMARKS": ["NOSE"]}, frames=0), "empty"),
        (pose_bytes({"POSE_LANDMARKS": ["NOSE"]}, value=np.inf), "infinite"),
        (pose_bytes({"POSE_LANDMARKS": ["NOSE"]}, value=np.nan), "NaN"),
        (pose_bytes({"PAWS": ["NOSE"]}), "unknown kind"),
    ],
)
def test_bad_file_is_named(content, reason):
    with pytest.raises(InputError, match=reason) as caught:
        pose_clip(content, "dance.pose")
    assert "dance.pose" in str(caught.value)


def test_real_openpose_file(real):
    clip = read_pose(real("clips") / "openpose.pose")
    assert (clip.layout.name, clip.coords.shape, clip.fps) == ("openpose137", (1, 93, 137, 2), 24)
    neck, hip = clip.coords[0, :, 1, 1], clip.coords[0, :, 8, 1]
    seen = ~np.isnan(neck + hip)
    assert (neck[seen] < hip[seen]).all(), "y points down"


def test_real_mediapipe_file_and_its_truncation(real):
    content = (real("clips") / "mediapipe.pose").read_bytes()
    clip = pose_clip(content, "mediapipe.pose")
    assert (clip.frames, clip.fps) == (170, 24)
    wide = np.nanquantile(clip.coords, 0.9, axis=(0, 1, 2)) - np.nanquantile(clip.coords, 0.1, axis=(0, 1, 2))
    assert wide[2] > 0.1, "depth is of the size of width and height, not hundreds of times less"
    for cut in (1, 4 * 178 * 4, 100_000):
        with pytest.raises(InputError, match="truncated"):
            pose_clip(content[:-cut], "mediapipe.pose")
