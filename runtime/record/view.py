"""The window of a recording session: what to sign, when to begin, how long to go on."""

from __future__ import annotations

import math

import numpy as np

from last_edge.errors import MissingError
from last_edge.runtime.recognise.window import Points
from last_edge.runtime.sources import Frame
from last_edge.runtime.view.drawing import ACCENT, SkeletonView, bar, darken, text
from last_edge.runtime.view.drawing import Image as Canvas
from last_edge.runtime.view.presenter import PAUSE_MS
from last_edge.runtime.view.window import Action, Controls, Display, has_screen
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units

KEYS = "r: once more   u: undo   space: pause   m: mirror   q: end"


class RecordView:
    """Shows nothing where no window is wanted; `MissingError` when one is and there is no screen.

    actions: what the keys r and u do. mirrored: how the window begins; what is recorded never is.
    """

    def __init__(
        self, layout: Layout, units: Units, *, window: bool, mirrored: bool, actions: dict[str, Action]
    ) -> None:
        if window and not has_screen():
            raise MissingError("there is no screen to open a window on", hint="--no-window")
        self._skeleton = SkeletonView(layout, units)
        self._display = Display() if window else None
        self.controls = Controls(actions, mirrored=mirrored)

    def show(
        self, frame: Frame, points: Points, *, headline: str, ready_in_s: float, done: float, note: str = ""
    ) -> bool:
        """Show one frame with its (M, V, C) points; whether the user paused meanwhile.

        headline: what is recorded. ready_in_s: left of the count-down. done: share of the take. note: what is wrong.
        """
        if self._display is None:
            return False
        canvas = self._skeleton.on(frame.image, points)
        if self.controls.mirrored:
            canvas = np.ascontiguousarray(canvas[:, ::-1])
        _draw(canvas, headline, ready_in_s, done, note=note, message=self.controls.message)
        self.controls.press(self._display.show(canvas))
        paused = self.controls.paused
        while self.controls.paused and not self.controls.stopped:
            self.controls.press(self._display.show(canvas, wait_ms=PAUSE_MS))
        return paused

    def close(self) -> None:
        """Close the window."""
        if self._display is not None:
            self._display.close()


def _draw(canvas: Canvas, headline: str, ready_in_s: float, done: float, *, note: str, message: str) -> None:
    darken(canvas, (0.0, 0.0), (1.0, 0.12))
    text(canvas, headline, (0.015, 0.08), size=1.2, colour=ACCENT)
    if ready_in_s > 0:
        text(canvas, str(math.ceil(ready_in_s)), (0.54, 0.6), size=6.0, colour=ACCENT, align_right=True)
    else:
        text(canvas, "recording", (0.97, 0.08), size=1.3, align_right=True)
    if note:
        darken(canvas, (0.0, 0.78), (1.0, 0.88))
        text(canvas, note, (0.015, 0.85), size=1.1, colour=ACCENT)
    darken(canvas, (0.0, 0.9), (1.0, 1.0))
    bar(canvas, 0.91, done, ACCENT)
    text(canvas, message or KEYS, (0.015, 0.97), size=0.6)
