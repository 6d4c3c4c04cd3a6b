"""The last seconds of points with their times, and their resampling to a model's window by time."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from last_edge.inputs.spec import sample_at, seen_span

Points = NDArray[np.float32]
Times = NDArray[np.float64]


def fit_times(points: Points, times: Times, frames: int) -> Points:
    """(M, T', V, C) points taken at `times` (T',) seconds -> (M, frames, V, C), even in time over the seen span.

    Equals `last_edge.inputs.fit_window` where the times are even; a video that drops or repeats frames differs.
    """
    first, last = seen_span(points)
    return at_moments(points, times, np.linspace(times[first], times[last], frames))


def at_moments(points: Points, times: Times, moments: Times) -> Points:
    """(M, T', V, C) points taken at `times` (T',) seconds -> (M, T, V, C) at other moments (T,), by time."""
    return sample_at(points, np.interp(moments, times, np.arange(len(times), dtype=np.float64)))


def shows_any(points: Points) -> bool:
    """Whether any point of (..., V, C) is seen."""
    return bool((~np.isnan(points)).all(axis=-1).any())


class SlidingWindow:
    """Points (M, V, C) of the last `seconds`; forgets all once nothing was seen for `gap_s`."""

    def __init__(self, *, seconds: float, gap_s: float) -> None:
        self._seconds, self._gap_s = seconds, gap_s
        self._frames: deque[tuple[float, bool, Points]] = deque()
        self._last_seen_s = -np.inf

    def push(self, points: Points, time_s: float, *, seen: bool) -> None:
        """Add one frame's points; `seen` says whether they show anything of use; times must rise."""
        if seen:
            self._last_seen_s = time_s
        elif time_s - self._last_seen_s > self._gap_s:
            self.clear()
            return
        self._frames.append((time_s, seen, points))
        while time_s - self._frames[0][0] > self._seconds:
            self._frames.popleft()

    def clear(self) -> None:
        """Forget every frame."""
        self._frames.clear()

    @property
    def seen(self) -> int:
        """Number of frames that show any point."""
        return sum(seen for _, seen, _ in self._frames)

    @property
    def seen_seconds(self) -> float:
        """Time between the first and the last frame that shows any point."""
        moments = [time_s for time_s, seen, _ in self._frames if seen]
        return moments[-1] - moments[0] if moments else 0.0

    def points(self) -> tuple[Points, Times]:
        """(M, T', V, C) points and their (T',) times."""
        return np.stack([points for _, _, points in self._frames], axis=1), np.array([row[0] for row in self._frames])
