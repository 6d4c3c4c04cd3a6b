"""Motions cut where the body rests, by time and at any frame rate."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.errors import UsageError
from last_edge.runtime.recognise.window import MotionSegmenter, SegmentOptions
from last_edge.skeleton import get_layout

HAND = get_layout("mediapipe_hand21")


def hand(shift: float) -> np.ndarray:
    """(1, 21, 3): a hand whose scale limb is 0.1 long, moved to the right."""
    assert HAND.scale is not None
    points = np.zeros((1, 21, 3), np.float32)
    points[0, list(HAND.scale[1]), 1] = 0.1
    points[..., 0] = shift
    return points


def cut(seconds: list[tuple[float, float]], *, fps: float, **options: float) -> list[tuple[float, float]]:
    """First and last moment of each motion, of stretches of (duration, limb lengths a second)."""
    one, found, shift, now = MotionSegmenter(HAND, SegmentOptions(**options)), [], 0.0, 0.0
    for duration, speed in seconds:
        for _ in range(round(duration * fps)):
            shift, now = shift + 0.1 * speed / fps, now + 1 / fps
            motion = one.push(hand(shift), hand(shift), now)
            found += [(float(motion[1][0]), float(motion[1][-1]))] if motion else []
    return found


@pytest.mark.parametrize("fps", [12, 30, 60])
def test_a_motion_between_rests_is_one_with_its_pads_at_any_frame_rate(fps: float) -> None:
    (only,) = cut([(1, 0), (1, 3), (2, 0)], fps=fps)
    assert only == pytest.approx((1 - 1 / 6, 2 + 1 / 6), abs=2.6 / fps + 0.09)


def test_two_motions_with_a_short_rest_are_one_and_with_a_long_rest_two() -> None:
    assert len(cut([(1, 0), (1, 3), (1, 0), (1, 3), (2, 0)], fps=30)) == 1
    assert len(cut([(1, 0), (1, 3), (1, 0), (1, 3), (2, 0)], fps=30, rest_s=0.5)) == 2


def test_drift_and_jerks_are_no_motion_and_endless_motion_is_cut() -> None:
    assert cut([(5, 0.5)], fps=30) == []
    assert cut([(1, 0), (0.1, 3), (3, 0)], fps=30) == []
    lengths = [end - start for start, end in cut([(1, 0), (9, 3)], fps=30)]
    assert len(lengths) == 2 and max(lengths) < 4.4


def test_unseen_points_do_not_move_and_clearing_forgets_the_motion() -> None:
    one = MotionSegmenter(HAND, SegmentOptions())
    unseen = np.full((1, 21, 3), np.nan, np.float32)
    for frame in range(60):
        assert one.push(unseen, unseen, frame / 30) is None
    assert not one.moving
    for frame in range(60, 80):
        one.push(hand(frame / 30), hand(frame / 30), frame / 30)
    assert one.moving
    one.clear()
    assert not one.moving


def test_options_must_fit() -> None:
    with pytest.raises(UsageError, match="segment options"):
        SegmentOptions(least_s=5.0)
