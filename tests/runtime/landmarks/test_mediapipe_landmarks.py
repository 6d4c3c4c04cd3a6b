"""The real detectors on a real clip: shapes, units, sides. Skipped where the clip or the models are absent."""

from __future__ import annotations

import gc
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from last_edge.errors import UsageError
from last_edge.runtime.landmarks import Detector, create_landmarks, models
from last_edge.runtime.landmarks.mediapipe import MediaPipeSource, _open
from last_edge.runtime.sources.video import VideoSource
from last_edge.tools.cli.doctor import find_data

FRAMES = 3
NOSE, LEFT_WRIST, RIGHT_WRIST = 0, 15, 16
WIDTH_IN_HEIGHTS = 1280 / 720


def points_of(detector: Detector, **options: str) -> np.ndarray:
    """(3, V, 3) points of the clip's first frames."""
    clips = find_data("clips")
    if clips is None or not (models.cache_folder() / models.MODELS[detector].file).is_file():
        pytest.skip(f"needs real clips (LAST_EDGE_DATA) and `last-edge models fetch {detector}`")
    landmarks = create_landmarks(detector, **options)
    with VideoSource(Path(clips) / "how2sign_0fO5ETSwyg_1-5.mp4") as video:
        frames = islice(video, FRAMES)
        found = [landmarks(frame.image, frame.timestamp_s) for frame in frames if frame.image is not None]
    landmarks.close()
    return np.stack(found)


def test_pose_is_upright_and_inside_the_image_in_heights() -> None:
    points = points_of("pose")
    assert points.shape == (FRAMES, 33, 3)
    assert np.nanmax(points[:, NOSE, 0]) < WIDTH_IN_HEIGHTS
    assert (points[:, NOSE, 1] < points[:, LEFT_WRIST, 1]).all()
    shoulders = np.abs(points[:, 11, 0] - points[:, 12, 0])
    torso = np.abs(points[:, 11, 1] - points[:, 23, 1])
    assert (shoulders / torso > 0.4).all() and (shoulders / torso < 1.2).all()


def test_hands_lie_at_the_wrists_of_their_side() -> None:
    body = points_of("pose")
    for hand, own, other in (("left", LEFT_WRIST, RIGHT_WRIST), ("right", RIGHT_WRIST, LEFT_WRIST)):
        wrist = points_of("hand", hand=hand)[:, 0, :2]
        near, far = (np.linalg.norm(wrist - body[:, joint, :2], axis=-1) for joint in (own, other))
        assert (near < far).all()


def test_holistic_joins_body_and_hands() -> None:
    points, body = points_of("holistic"), points_of("pose")
    assert points.shape == (FRAMES, 75, 3)
    np.testing.assert_allclose(points[:, NOSE, :2], body[:, NOSE, :2], atol=0.05)
    gap = np.linalg.norm(points[:, 54, :2] - points[:, RIGHT_WRIST, :2], axis=-1)
    assert np.nanmax(gap) < 0.1


def test_holistic_with_face_points_has_the_chin_below_the_nose() -> None:
    points = points_of("holistic", layout="mediapipe_holistic83")
    nose, chin = points[:, 75], points[:, 78]
    assert points.shape == (FRAMES, 83, 3) and (nose[:, 1] < chin[:, 1]).all()


def test_an_image_without_anyone_has_no_points() -> None:
    if not (models.cache_folder() / models.MODELS["hand_lite"].file).is_file():
        pytest.skip("needs `last-edge models fetch hand_lite`")
    landmarks = create_landmarks("hand_lite")
    points = landmarks(np.zeros((120, 160, 3), np.uint8), 0.0)
    landmarks.close()
    assert points.shape == (21, 3) and np.isnan(points).all()


def test_unknown_hand_is_refused_before_anything_loads() -> None:
    with pytest.raises(UsageError, match="unknown hand"):
        create_landmarks("hand", hand="both")


def test_a_landmarker_that_nobody_closed_is_not_collected_within_a_call_of_another() -> None:
    pytest.importorskip("mediapipe")
    if not (models.cache_folder() / models.MODELS["hand"].file).is_file():
        pytest.skip("needs `last-edge models fetch hand`")
    source = create_landmarks("hand", by="mediapipe")
    assert isinstance(source, MediaPipeSource)
    task = source._task
    del source
    gc.collect()
    assert task in _open, "collected, it would close itself within whatever call runs, and both wait for ever"
    task.close()
    _open.discard(task)
    with closing(create_landmarks("hand", by="mediapipe")) as closed:
        assert isinstance(closed, MediaPipeSource) and closed._task in _open
    assert closed._task not in _open
