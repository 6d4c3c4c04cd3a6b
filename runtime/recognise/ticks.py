"""Frames of any rate, by their time stamps, to frames of a model's own rate."""

from __future__ import annotations

import numpy as np

from last_edge.inputs.spec import sample_at
from last_edge.runtime.recognise.window import Points

NEAR_S = 1e-6


class Ticks:
    """Frames `1 / rate` seconds apart, from the first one on: what lies between two frames, as soon as both are known.

    A point that either of the two frames lacks is the nearer frame's. A frame never waits for more than the next one;
    sources that are slower than the rate give several ticks a frame, faster ones none now and then.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.clear()

    def clear(self) -> None:
        """The next frame is another first one."""
        self._before: tuple[Points, float] | None = None
        self._start_s, self._count = 0.0, 0

    def push(self, points: Points, time_s: float) -> list[tuple[Points, float]]:
        """The ticks up to a frame (M, V, C) at `time_s`, each with its moment; times must not fall."""
        if self._before is None:
            self._start_s, self._count = time_s, 0
            self._before = points, time_s
        (before, before_s), ticks = self._before, []
        while (moment := self._start_s + self._count / self._rate) <= time_s + NEAR_S:
            span = time_s - before_s
            share = 1.0 if span <= 0 else min(max((moment - before_s) / span, 0.0), 1.0)
            ticks.append((sample_at(np.stack([before, points], axis=1), np.array([share]))[:, 0], moment))
            self._count += 1
        self._before = points, time_s
        return ticks
