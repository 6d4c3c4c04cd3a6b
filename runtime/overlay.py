"""Drawing on a frame what was seen and recognised: skeleton, label with score bar, best three, timings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from last_edge.runtime.drawing import ACCENT, INK, PANEL_SHARE, Colour, Image, bar, darken, text, text_size
from last_edge.runtime.hud import Hud, draw_hud
from last_edge.runtime.results import Event, Prediction
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units

Points = NDArray[np.float32]

BLANK = (720, 1280, 3)
BONE: Colour = (90, 200, 90)
JOINT: Colour = (40, 120, 250)
EVENT_SHOWN_S = 1.5


class Overlay:
    """Draws on the frames of one run. Points in metres have no image: the first that are seen set the view."""

    def __init__(self, layout: Layout, units: Units) -> None:
        self._edges, self._units = layout.edges, units
        self._view: tuple[NDArray[np.float64], float] | None = None
        self._event: Event | None = None

    def draw(
        self,
        image: Image | None,
        points: Points,
        *,
        time_s: float,
        prediction: Prediction | None,
        event: Event | None,
        milliseconds: Mapping[str, float],
        hud: Hud | None = None,
    ) -> Image:
        """A new (H, W, 3) image: `image`, or a dark canvas, with (M, V, C) points and the texts on it.

        hud: what a window shows besides; where it says so, picture and skeleton are mirrored, texts and points never.
        """
        canvas = np.full(BLANK, 24, np.uint8) if image is None else image.copy()
        self._event = event or self._event
        for body in points:
            self._draw_skeleton(canvas, self._pixels(body, canvas.shape[0]))
        if hud is not None and hud.mirrored:
            canvas = np.ascontiguousarray(canvas[:, ::-1])
        darken(canvas, (0.0, 0.72), (PANEL_SHARE, 1.0))
        _draw_prediction(canvas, prediction)
        self._draw_event(canvas, time_s)
        _draw_timings(canvas, milliseconds)
        if hud is not None:
            draw_hud(canvas, hud)
        return canvas

    def _pixels(self, body: Points, height: int) -> NDArray[np.float64]:
        """(V, 2) pixels, NaN where missing."""
        flat = body[:, :2].astype(np.float64)
        if self._units == "image01":
            return flat * height
        upright = flat * (1, -1)
        if self._view is None:
            if np.isnan(upright).all():
                return upright
            self._view = _fit_view(upright)
        centre, length = self._view
        return (upright - centre) / length * height + np.array(BLANK[1::-1]) / 2

    def _draw_skeleton(self, canvas: Image, pixels: NDArray[np.float64]) -> None:
        import cv2

        size = max(1, canvas.shape[0] // 360)
        seen: NDArray[np.bool_] = np.asarray(np.isfinite(pixels).all(axis=-1))
        whole = np.nan_to_num(np.clip(pixels, -1e4, 1e4)).round().astype(int)
        for one, other in self._edges:
            if seen[one] and seen[other]:
                cv2.line(canvas, _pair(whole[one]), _pair(whole[other]), BONE, size, cv2.LINE_AA)
        for joint in np.flatnonzero(seen):
            cv2.circle(canvas, _pair(whole[joint]), size + 1, JOINT, -1, cv2.LINE_AA)

    def _draw_event(self, canvas: Image, time_s: float) -> None:
        """The last event, for a moment, in the top right corner."""
        if self._event is None or time_s - self._event.end_s > EVENT_SHOWN_S:
            return
        words = f"{self._event.label} {self._event.probability:.0%}"
        share = text_size(words, canvas.shape[0], size=1.3)[0] / canvas.shape[1]
        darken(canvas, (max(0.0, 0.94 - share), 0.0), (1.0, 0.12))
        text(canvas, words, (0.97, 0.08), size=1.3, colour=ACCENT, align_right=True)


def _fit_view(upright: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Centre and height of a view that holds the seen points of (V, 2) four times over."""
    seen = upright[~np.isnan(upright).any(axis=-1)]
    return (seen.min(0) + seen.max(0)) / 2, max(float(np.ptp(seen, axis=0).max()) * 4, 1e-3)


def _draw_prediction(canvas: Image, prediction: Prediction | None) -> None:
    if prediction is None:
        text(canvas, "waiting for motion", (0.015, 0.78), size=0.9)
        return
    for row, guess in enumerate(prediction.top):
        down = 0.78 + 0.055 * row
        size, colour = (0.9, ACCENT) if row == 0 else (0.7, INK)
        bar(canvas, down, guess.probability, colour)
        text(canvas, f"{guess.label}  {guess.probability:.0%}", (0.015, down), size=size, colour=colour)


def _draw_timings(canvas: Image, milliseconds: Mapping[str, float]) -> None:
    words = "   ".join(f"{stage} {value:.1f} ms" for stage, value in milliseconds.items())
    text(canvas, words, (0.015, 0.97), size=0.55)


def _pair(pixel: NDArray[np.int_]) -> tuple[int, int]:
    return int(pixel[0]), int(pixel[1])
