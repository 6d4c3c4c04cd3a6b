"""A stream cut into what a model takes: the last seconds, resampled by time, or from rest to rest of the body.

Motion is the speed of the root and of the tree's ends (a hand's wrist and fingertips), as the path of their last sixth
of a second, in lengths of the layout's scale limb a second: it needs no threshold of its own for each sensor.
The usual figures are those of the sign-language project OpenHands-Modernized at 30 frames a second: threshold 0.02 a
frame, motions of 10 to 120 frames, 45 frames of rest, 5 frames kept on either side, speed over 5 frames.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import UsageError
from last_edge.inputs.spec import sample_at, seen_span
from last_edge.skeleton import Layout
from last_edge.skeleton.layout import limb_length

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


@dataclass(frozen=True)
class SegmentOptions:
    """speed: limb lengths a second from which the body moves. least_s, most_s: length of a motion. rest_s: stillness
    that ends it. pad_s: kept before and after. mean_s: stretch that speed is measured over. All in seconds.
    """

    speed: float = 0.6
    least_s: float = 10 / 30
    most_s: float = 120 / 30
    rest_s: float = 45 / 30
    pad_s: float = 5 / 30
    mean_s: float = 5 / 30

    def __post_init__(self) -> None:
        if not 0 < self.least_s < self.most_s or min(self.speed, self.mean_s) <= 0 or min(self.rest_s, self.pad_s) < 0:
            raise UsageError(
                "segment options do not fit together", expected="0 < least_s < most_s, speed > 0", got=self
            )


class MotionSegmenter:
    """Takes one frame after the other and gives each motion when it is over."""

    def __init__(self, layout: Layout, options: SegmentOptions) -> None:
        self._layout, self._options = layout, options
        inner = {parent for joint, parent in enumerate(layout.parents) if parent != joint}
        self._watched = [joint for joint, parent in enumerate(layout.parents) if joint not in inner or joint == parent]
        self._frames: deque[tuple[float, Points, Points]] = deque()
        self.clear()

    def clear(self) -> None:
        """Forget everything: what comes next is another recording."""
        self._frames.clear()
        self._began_s: float | None = None
        self._moved_s = -np.inf

    @property
    def moving(self) -> bool:
        """Whether a motion has begun and is not over."""
        return self._began_s is not None

    def push(self, points: Points, fitted: Points, time_s: float) -> tuple[Points, Times] | None:
        """One frame's points (M, V, C), and the same as the model takes them; the motion that is over now, if any."""
        self._frames.append((time_s, points, fitted))
        if self._speed() >= self._options.speed:
            self._moved_s = time_s
            self._began_s = time_s - self._options.mean_s if self._began_s is None else self._began_s
        if self._began_s is None:
            self._forget(time_s - self._options.pad_s - 2 * self._options.mean_s)
            return None
        if time_s - self._moved_s >= self._options.rest_s or time_s - self._began_s >= self._options.most_s:
            return self._cut(self._began_s)
        return None

    def finish(self) -> tuple[Points, Times] | None:
        """The motion that the end of a recording ends, if any."""
        return None if self._began_s is None else self._cut(self._began_s)

    def _cut(self, began_s: float) -> tuple[Points, Times] | None:
        """The motion with its pads; None when it was too short."""
        self._began_s, pad = None, self._options.pad_s
        kept = [(at, points) for at, points, _ in self._frames if began_s - pad <= at <= self._moved_s + pad]
        self._forget(self._frames[-1][0] - pad - 2 * self._options.mean_s)
        if self._moved_s - began_s < self._options.least_s:
            return None
        return np.stack([points for _, points in kept], axis=1), np.array([at for at, _ in kept])

    def _forget(self, before_s: float) -> None:
        while self._frames[0][0] < before_s:
            self._frames.popleft()

    def _speed(self) -> float:
        """Mean speed of the watched joints of the body that moves most; 0 where none is seen at both ends."""
        now_s, _, now = self._frames[-1]
        then = next(frame for frame in self._frames if frame[0] >= now_s - self._options.mean_s - 1e-6)
        if now_s <= then[0]:
            return 0.0
        paths = np.sqrt(((now - then[2])[:, self._watched] ** 2).sum(-1))
        lengths = np.nan_to_num([limb_length(body[None], self._layout) for body in now], nan=1.0)
        seen = ~np.isnan(paths)
        means = np.where(seen, paths, 0).sum(1) / np.maximum(seen.sum(1), 1) / lengths
        return float(means.max() / (now_s - then[0]))
