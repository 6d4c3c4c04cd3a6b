"""Cutting a stream of frames into takes: count-down, take, count-down, take, by the frames' own time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from last_edge.inputs.transforms import sample_at
from last_edge.runtime.recognise.window import Points, Times

LONGEST = 9000


@dataclass(frozen=True)
class Take:
    """points: (M, T, V, C) as the source gives them. times: (T,) seconds. seen: share of frames of use."""

    points: Points
    times: Times
    seen: float

    @property
    def frames(self) -> int:
        """T."""
        return len(self.times)

    @property
    def fps(self) -> float:
        """Mean frames a second; 0 for a single frame."""
        return (self.frames - 1) / float(self.times[-1] - self.times[0]) if self.frames > 1 else 0.0

    def evenly(self) -> Points:
        """(M, T, V, C) at `fps`, even in time whatever came late or was dropped."""
        wanted = np.linspace(self.times[0], self.times[-1], self.frames)
        return sample_at(self.points, np.interp(wanted, self.times, np.arange(self.frames, dtype=np.float64)))


class TakeCutter:
    """Takes one frame after the other and gives each take when it is whole.

    seconds: length of a take; None makes one take of each recording, of 9,000 frames at most. countdown_s: waited
    before each take.
    """

    def __init__(self, *, seconds: float | None, countdown_s: float) -> None:
        self._seconds, self._countdown_s = seconds, countdown_s
        self._clip = ""
        self._frames: list[tuple[float, bool, Points]] = []
        self.again()

    def again(self) -> None:
        """Forget the take that runs and begin with the count-down."""
        self._frames.clear()
        self._since_s: float | None = None
        self.ready_in_s = self._countdown_s

    @property
    def taking(self) -> bool:
        """Whether the count-down is over and frames are kept."""
        return bool(self._frames)

    @property
    def done(self) -> float:
        """Share of the take that is done, 0 where its length is open."""
        if not self._frames or self._seconds is None:
            return 0.0
        return min((self._frames[-1][0] - self._frames[0][0]) / self._seconds, 1.0)

    def push(self, points: Points, time_s: float, *, seen: bool, clip: str = "") -> Take | None:
        """One frame's points (M, V, C) of a recording; the take that is whole now, if any."""
        whole = self.finish() if clip != self._clip else None
        self._clip = clip
        self._since_s = time_s if self._since_s is None else self._since_s
        self.ready_in_s = max(self._since_s + self._countdown_s - time_s, 0.0)
        if self.ready_in_s > 0:
            return whole
        self._frames.append((time_s, seen, points))
        long = self._seconds is not None and time_s - self._frames[0][0] >= self._seconds
        return self._take() if long or len(self._frames) == LONGEST else whole

    def finish(self) -> Take | None:
        """The recording is over: its take where the length is open; an unfinished one is forgotten."""
        if self._seconds is None and self._frames:
            return self._take()
        self.again()
        return None

    def _take(self) -> Take:
        times, seen, points = zip(*self._frames, strict=True)
        self.again()
        return Take(np.stack(points, axis=1), np.array(times), float(np.mean(seen)))
