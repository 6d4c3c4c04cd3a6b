"""The sliding window, and resampling by time instead of by frame number."""

from __future__ import annotations

import numpy as np

from last_edge.inputs import fit_window
from last_edge.runtime.recognise.window import SlidingWindow, fit_times


def clip(frames: int, *, missing: tuple[int, ...] = ()) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(1, frames, 5, 3)).astype(np.float32)
    points[:, list(missing)] = np.nan
    return points


def test_even_times_give_exactly_the_training_window() -> None:
    for missing in ((), (0, 1, 6, 12)):
        points = clip(13, missing=missing)
        fitted = fit_times(points, np.arange(13) / 30, 16)
        np.testing.assert_allclose(fitted, fit_window(points, 16), atol=1e-5)


def test_uneven_times_are_read_at_even_moments() -> None:
    points = np.array([0.0, 1.0, 4.0], np.float32).reshape(1, 3, 1, 1)
    fitted = fit_times(points, np.array([0.0, 1.0, 4.0]), 5)
    np.testing.assert_allclose(fitted.ravel(), [0, 1, 2, 3, 4])


def test_window_keeps_the_last_seconds() -> None:
    window = SlidingWindow(seconds=1.0, gap_s=0.5)
    for frame in range(31):
        window.push(clip(1)[:, 0], frame / 10, seen=True)
    points, times = window.points()
    assert points.shape == (1, 11, 5, 3)
    assert times[0] == 2.0 and times[-1] == 3.0
    assert window.seen == 11 and window.seen_seconds == 1.0


def test_window_survives_a_short_gap_and_forgets_at_a_long_one() -> None:
    window = SlidingWindow(seconds=2.0, gap_s=0.25)
    window.push(clip(1)[:, 0], 0.0, seen=True)
    window.push(clip(1)[:, 0], 0.2, seen=False)
    assert window.seen == 1
    window.push(clip(1)[:, 0], 0.3, seen=False)
    assert window.seen == 0 and window.seen_seconds == 0.0


def test_unseen_frames_before_the_first_seen_one_are_not_kept() -> None:
    window = SlidingWindow(seconds=2.0, gap_s=0.25)
    window.push(clip(1)[:, 0], 0.0, seen=False)
    window.push(clip(1)[:, 0], 0.1, seen=True)
    assert window.points()[1].tolist() == [0.1]
