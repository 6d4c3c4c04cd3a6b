"""Drawing on a frame what was seen and recognised, and what a window shows besides: badge, transcript, hints, help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from last_edge.runtime.recognise.results import Event, Prediction
from last_edge.runtime.recognise.window import Points
from last_edge.runtime.view.drawing import ACCENT, INK, PANEL_SHARE, Image, SkeletonView, bar, darken, text, text_size
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units

KEYS = {
    "q": "end", "space": "pause", "m": "mirror", "s": "save a picture", "p": "fp32 or int8", "+ -": "threshold",
    "c": "save the last seconds as a clip", "h": "this help",
}  # fmt: skip
WORDS_SHOWN = 6
EVENT_SHOWN_S = 1.5
LARGE, GESTURES_SHOWN = 2.2, 8


@dataclass(frozen=True)
class Hud:
    """badge: backend, precision, threshold. fps: frames shown a second. transcript: labels so far, newest last.

    hint: what keeps recognition from working. gestures: those to try, shown while there is nothing to recognise.
    refused: why what is seen is no event. message: the answer to the last key. help: list the keys.
    """

    mirrored: bool = False
    badge: str = ""
    fps: float | None = None
    transcript: tuple[str, ...] = ()
    hint: str = ""
    gestures: tuple[str, ...] = ()
    refused: str = ""
    message: str = ""
    help: bool = False


def draw_hud(canvas: Image, hud: Hud) -> None:
    """Draw it onto a frame."""
    rate = "" if hud.fps is None else f"{hud.fps:.0f} fps"
    if top := "   ".join(filter(None, (hud.badge, rate))):
        darken(canvas, (0.0, 0.0), (0.5, 0.05))
        text(canvas, top, (0.015, 0.035), size=0.55)
    if hud.transcript:
        darken(canvas, (0.36, 0.92), (1.0, 1.0))
        text(canvas, "  ".join(hud.transcript[-WORDS_SHOWN:]), (0.985, 0.975), size=0.7, align_right=True)
    for row, words in enumerate(filter(None, (hud.hint, hud.message))):
        darken(canvas, (0.2, 0.45 + 0.08 * row), (0.8, 0.53 + 0.08 * row))
        text(canvas, words, (0.215, 0.505 + 0.08 * row), size=0.8, colour=ACCENT)
    if hud.help:
        _draw_help(canvas)


def _draw_help(canvas: Image) -> None:
    darken(canvas, (0.0, 0.07), (0.4, 0.12 + 0.05 * len(KEYS)))
    for row, (key, does) in enumerate(KEYS.items()):
        down = 0.12 + 0.05 * row
        text(canvas, key, (0.015, down), size=0.6, colour=ACCENT)
        text(canvas, does, (0.09, down), size=0.6, colour=INK)


class Overlay:
    """Draws on the frames of one run."""

    def __init__(self, layout: Layout, units: Units) -> None:
        self._skeleton = SkeletonView(layout, units)
        self._event: Event | None = None

    def draw(
        self, image: Image | None, points: Points, *, time_s: float, prediction: Prediction | None, event: Event | None,
        milliseconds: Mapping[str, float], hud: Hud | None = None,
    ) -> Image:  # fmt: skip
        """A new (H, W, 3) image: `image`, or a dark canvas, with (M, V, C) points and the texts on it.

        hud: what a window shows besides; where it says so, picture and skeleton are mirrored, texts and points never.
        """
        canvas = self._skeleton.on(image, points)
        self._event = event or self._event
        if hud is not None and hud.mirrored:
            canvas = np.ascontiguousarray(canvas[:, ::-1])
        darken(canvas, (0.0, 0.72), (PANEL_SHARE, 1.0))
        _draw_prediction(canvas, prediction)
        self._draw_event(canvas, time_s)
        words = "   ".join(f"{stage} {value:.1f} ms" for stage, value in milliseconds.items())
        text(canvas, words, (0.015, 0.97), size=0.55)
        if hud is not None:
            draw_hud(canvas, hud)
            _draw_waiting(canvas, hud, prediction)
        return canvas

    def _draw_event(self, canvas: Image, time_s: float) -> None:
        """The last event, for a moment, in the top right corner."""
        if self._event is None or time_s - self._event.end_s > EVENT_SHOWN_S:
            return
        words = f"{self._event.label} {self._event.probability:.0%}"
        share = text_size(words, canvas.shape[0], size=LARGE)[0] / canvas.shape[1]
        darken(canvas, (max(0.0, 0.94 - share), 0.0), (1.0, 0.16))
        text(canvas, words, (0.97, 0.11), size=LARGE, colour=ACCENT, align_right=True)


def _draw_waiting(canvas: Image, hud: Hud, prediction: Prediction | None) -> None:
    """Beside the guesses: what may be tried, or why what is seen is no event."""
    if prediction is None and hud.gestures:
        more = len(hud.gestures) - GESTURES_SHOWN
        words = f"try: {', '.join(hud.gestures[:GESTURES_SHOWN])}{f' and {more} more' if more > 0 else ''}"
        darken(
            canvas,
            (0.0, 0.64),
            (min(1.0, 0.03 + text_size(words, canvas.shape[0], size=0.7)[0] / canvas.shape[1]), 0.72),
        )
        text(canvas, words, (0.015, 0.695), size=0.7)
    elif prediction is not None and hud.refused:
        text(canvas, hud.refused, (0.015, 0.935), size=0.5)


def _draw_prediction(canvas: Image, prediction: Prediction | None) -> None:
    if prediction is None:
        text(canvas, "waiting for motion", (0.015, 0.78), size=0.9)
        return
    for row, guess in enumerate(prediction.top):
        down = 0.78 + 0.055 * row
        size, colour = (0.9, ACCENT) if row == 0 else (0.7, INK)
        bar(canvas, down, guess.probability, colour)
        text(canvas, f"{guess.label}  {guess.probability:.0%}", (0.015, down), size=size, colour=colour)
