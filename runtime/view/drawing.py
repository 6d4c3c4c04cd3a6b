"""Boxes, bars and texts on a frame, placed in shares of its width and height so that any size looks the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

INK: Colour = (245, 245, 245)
ACCENT: Colour = (60, 200, 255)
PANEL_SHARE, PANEL_OPACITY = 0.34, 0.7


def darken(canvas: Image, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Darken a box given by two corners in shares of width and height, so that light texts stay legible."""
    height, width = canvas.shape[:2]
    box = canvas[int(height * start[1]) : int(height * end[1]), int(width * start[0]) : int(width * end[0])]
    box[:] = (box * (1 - PANEL_OPACITY)).astype(np.uint8)


def bar(canvas: Image, down: float, share: float, colour: Colour) -> None:
    """A bar `share` of the panel long, just below a line of text."""
    import cv2

    height, width = canvas.shape[:2]
    top, left = int(height * (down + 0.01)), int(width * 0.015)
    length = int(width * (PANEL_SHARE - 0.03) * min(max(share, 0.0), 1.0))
    cv2.rectangle(canvas, (left, top), (left + length, top + max(2, height // 120)), colour, -1)


def text(
    canvas: Image,
    words: str,
    place: tuple[float, float],
    *,
    size: float,
    colour: Colour = INK,
    align_right: bool = False,
) -> None:
    """Write at a place given in shares of width and height; `size` 1 is right for a height of 720 pixels."""
    import cv2

    height, width = canvas.shape[:2]
    length, scale, thick = text_size(words, height, size=size)
    left = int(place[0] * width) - (length if align_right else 0)
    down = int(place[1] * height)
    cv2.putText(canvas, words, (left, down), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thick, cv2.LINE_AA)


def text_size(words: str, height: int, *, size: float) -> tuple[int, float, int]:
    """Length in pixels, scale and thickness of a text on an image of this height."""
    import cv2

    scale, thick = size * height / 720, max(1, round(height / 500))
    (length, _), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    return length, scale, thick
