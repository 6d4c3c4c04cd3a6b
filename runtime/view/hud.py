"""What the window shows besides the recognition: badge, transcript, hints, help."""

from __future__ import annotations

from dataclasses import dataclass

from last_edge.runtime.view.drawing import ACCENT, INK, Image, darken, text

KEYS = {
    "q": "end",
    "space": "pause",
    "m": "mirror",
    "s": "save a picture",
    "p": "fp32 or int8",
    "+ -": "threshold",
    "c": "save the last seconds as a clip",
    "h": "this help",
}
WORDS_SHOWN = 6


@dataclass(frozen=True)
class Hud:
    """badge: backend, precision, threshold. fps: frames shown a second. transcript: labels so far, newest last.

    hint: what keeps recognition from working. message: the answer to the last key. help: list the keys.
    """

    mirrored: bool = False
    badge: str = ""
    fps: float | None = None
    transcript: tuple[str, ...] = ()
    hint: str = ""
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
