"""Cutting a stream of frames into takes: count-down, take, count-down, take, by the frames' own time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from last_edge.runtime.recognise.window import Points, Times, at_moments

LONGEST = 9000
DARK = 40.0
"""Mean brightness, of 255, below which a picture is too dark for a hand to be found in."""
EDGE = 0.03
"""Share of the picture's height within which of its border a hand is leaving it."""
GAP_S = 0.5
"""A hand that is lost for no longer, as when it crosses the face or blurs, counts as seen; points stay as measured."""


@dataclass(frozen=True)
class Take:
    """points: (M, T, V, C) as the source gives them. times: (T,) seconds. seen: share of frames of use.

    shown: (T,) the frames of use; None for all. light: mean brightness of the images, 0 to 255; NaN without images.
    """

    points: Points
    times: Times
    seen: float
    shown: NDArray[np.bool_] | None = None
    light: float = math.nan

    @property
    def frames(self) -> int:
        """T."""
        return len(self.times)

    @property
    def fps(self) -> float:
        """Mean frames a second; 0 for a single frame."""
        return (self.frames - 1) / float(self.times[-1] - self.times[0]) if self.frames > 1 else 0.0

    def trimmed(self) -> Take:
        """From the first frame of use to the last, short gaps counted as seen; as it is where no frame is of use."""
        if self.shown is None or not self.shown.any():
            return self
        first, last = np.flatnonzero(self.shown)[[0, -1]].tolist()
        rows = slice(first, last + 1)
        times, shown = self.times[rows], self.shown[rows]
        moments = times[shown]
        before, after = moments[np.searchsorted(moments, times, "right") - 1], moments[np.searchsorted(moments, times)]
        bridged = shown | (after - before <= GAP_S)
        return replace(self, points=self.points[:, rows], times=times, seen=float(bridged.mean()), shown=shown)

    def evenly(self) -> Points:
        """(M, T, V, C) at `fps`, even in time whatever came late or was dropped."""
        return at_moments(self.points, self.times, np.linspace(self.times[0], self.times[-1], self.frames))


class TakeCutter:
    """Takes one frame after the other and gives each take when it is whole.

    seconds: length of a take; None makes one take of each recording, of 9,000 frames at most. countdown_s: waited
    before each take.
    """

    def __init__(self, *, seconds: float | None, countdown_s: float) -> None:
        self._seconds, self._countdown_s = seconds, countdown_s
        self._clip = ""
        self._frames: list[tuple[float, bool, Points, float]] = []
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

    def push(
        self, points: Points, time_s: float, *, seen: bool, clip: str = "", light: float = math.nan
    ) -> Take | None:
        """One frame's points (M, V, C) of a recording; the take that is whole now, if any.

        seen: whether they are of use. light: mean brightness of the image, where there is one.
        """
        whole = self.finish() if clip != self._clip else None
        self._clip = clip
        self._since_s = time_s if self._since_s is None else self._since_s
        self.ready_in_s = max(self._since_s + self._countdown_s - time_s, 0.0)
        if self.ready_in_s > 0:
            return whole
        self._frames.append((time_s, seen, points, light))
        long = self._seconds is not None and time_s - self._frames[0][0] >= self._seconds
        return self._take() if long or len(self._frames) == LONGEST else whole

    def finish(self) -> Take | None:
        """The recording is over: its take where the length is open; an unfinished one is forgotten."""
        if self._seconds is None and self._frames:
            return self._take()
        self.again()
        return None

    def _take(self) -> Take:
        times, seen, points, light = zip(*self._frames, strict=True)
        self.again()
        return Take(
            np.stack(points, axis=1), np.array(times), float(np.mean(seen)), np.array(seen, np.bool_),
            float(np.mean(light)),
        )  # fmt: skip


def why_not(take: Take, *, least_seen: float, least_frames: int, aspect: float = math.inf) -> str:
    """Why a trimmed take is not kept, as one says it to who made it; "" where it is.

    least_seen, least_frames: share and number of frames that must show what is watched. aspect: width of the picture by
    its height, in which its points are.
    """
    shown = take.shown if take.shown is not None else np.ones(take.frames, np.bool_)
    if not shown.any():
        return "too dark" if take.light < DARK else "no hand in view"
    if int(shown.sum()) < least_frames:
        return f"a hand was in view in {int(shown.sum())} frames only"
    if take.seen >= least_seen:
        return ""
    if take.light < DARK:
        return "too dark: the hand was lost"
    last = take.points[:, np.flatnonzero(shown[:-1] & ~shown[1:])][..., :2]
    near = np.minimum(last, np.array([aspect, 1.0], np.float32) - last) < EDGE
    return "the hand left the picture" if near.any() else f"the hand was lost in {1 - take.seen:.0%} of the take"
