"""Boxes, bars, texts and skeletons on a frame; boxes and texts are placed in shares of its width and height."""

import os
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.runtime.recognise.window import Points
from last_edge.skeleton import Layout
from last_edge.skeleton.clip import Units

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

INK: Colour = (245, 245, 245)
ACCENT: Colour = (60, 200, 255)
PANEL_SHARE, PANEL_OPACITY = 0.34, 0.7
BLANK = (720, 1280, 3)
LETTERS, ABOVE = 30, 0.8
"""Pixels of a letter of size 1 on 720 rows, as high as OpenCV's; share of a line that stands above its foot."""
BONE: Colour = (90, 200, 90)
JOINT: Colour = (40, 120, 250)
FOLDERS = {
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": ("C:/Windows/Fonts",),
}
USUAL = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
PLAIN = ("NotoSans-Regular", "DejaVuSans.", "Arial Unicode", "NotoSans", "Arial", "Roboto", "Nirmala", "Leelawadee")
"""What a font's file is called that is tried before all others."""
SUFFIXES = (".ttf", ".otf", ".ttc")
ABSENT = "\U0010fffe"
"""A character that no font has: what is drawn for it is what is drawn for any letter that a font lacks."""


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
    canvas: Image, words: str, place: tuple[float, float], *, size: float, colour: Colour = INK,
    align_right: bool = False,
) -> None:  # fmt: skip
    """Write at a place given in shares of width and height; `size` 1 is right for a height of 720 pixels.

    Words in other letters than ASCII's are drawn with a font of this machine that has them; where there is none each
    letter that is absent becomes a question mark.
    """
    import cv2

    height, width = canvas.shape[:2]
    left, down = int(place[0] * width), int(place[1] * height)
    if (covered := _covered(words, height, size)) is not None:
        left -= covered.shape[1] if align_right else 0
        _blend(canvas, covered, left, down - round(covered.shape[0] * ABOVE), colour)
        return
    length, scale, thick = text_size(words, height, size=size)
    left -= length if align_right else 0
    cv2.putText(canvas, plain(words), (left, down), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thick, cv2.LINE_AA)


def text_size(words: str, height: int, *, size: float) -> tuple[int, float, int]:
    """Length in pixels, scale and thickness of a text on an image of this height."""
    import cv2

    scale, thick = size * height / 720, max(1, round(height / 500))
    if (covered := _covered(words, height, size)) is not None:
        return covered.shape[1], scale, thick
    (length, _), _ = cv2.getTextSize(plain(words), cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    return length, scale, thick


def plain(words: str) -> str:
    """Words in ASCII alone: letters with marks lose them, others become a question mark."""
    if words.isascii():
        return words
    letters = (letter for letter in unicodedata.normalize("NFKD", words) if not unicodedata.combining(letter))
    return "".join(letters).encode("ascii", "replace").decode()


@lru_cache(maxsize=128)
def _covered(words: str, height: int, size: float) -> Image | None:
    return None if drawable(words) else strip(words, max(8, round(LETTERS * size * height / 720)))


def _blend(canvas: Image, covered: Image, left: int, top: int, colour: Colour) -> None:
    """Put a colour where (h, w) is covered, with its upper left corner at a place that may lie outside."""
    rows = slice(max(0, top), min(canvas.shape[0], top + covered.shape[0]))
    columns = slice(max(0, left), min(canvas.shape[1], left + covered.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    share = covered[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, None] / 255
    box = canvas[rows, columns]
    box[:] = (box * (1 - share) + np.array(colour) * share).astype(np.uint8)


class SkeletonView:
    """Draws on the frames of one run. Points in metres have no image: the first that are seen set the view."""

    def __init__(self, layout: Layout, units: Units) -> None:
        self._edges, self._units = layout.edges, units
        self._view: tuple[NDArray[np.float64], float] | None = None

    def on(self, image: Image | None, points: Points) -> Image:
        """A new (H, W, 3) image: `image`, or a dark canvas, with (M, V, C) points on it."""
        canvas = np.full(BLANK, 24, np.uint8) if image is None else image.copy()
        for body in points:
            self._draw(canvas, self._pixels(body, canvas.shape[0]))
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
            seen = upright[~np.isnan(upright).any(axis=-1)]
            self._view = (seen.min(0) + seen.max(0)) / 2, max(float(np.ptp(seen, axis=0).max()) * 4, 1e-3)
        centre, length = self._view
        return (upright - centre) / length * height + np.array(BLANK[1::-1]) / 2

    def _draw(self, canvas: Image, pixels: NDArray[np.float64]) -> None:
        import cv2

        size = max(1, canvas.shape[0] // 360)
        seen: NDArray[np.bool_] = np.asarray(np.isfinite(pixels).all(axis=-1))
        whole = np.nan_to_num(np.clip(pixels, -1e4, 1e4)).round().astype(int)
        for one, other in self._edges:
            if seen[one] and seen[other]:
                cv2.line(canvas, _pair(whole[one]), _pair(whole[other]), BONE, size, cv2.LINE_AA)
        for joint in np.flatnonzero(seen):
            cv2.circle(canvas, _pair(whole[joint]), size + 1, JOINT, -1, cv2.LINE_AA)


def _pair(pixel: NDArray[np.int_]) -> tuple[int, int]:
    return int(pixel[0]), int(pixel[1])


def drawable(words: str) -> bool:
    """Whether OpenCV draws these words itself: letters, digits and signs of ASCII."""
    return words.isascii()


def strip(words: str, height: int) -> NDArray[np.uint8] | None:
    """(H, W) how much of each pixel the words cover, 0 to 255, letters about `height` pixels high; None where neither
    Pillow nor a font with all of these letters is there.

    Scripts whose letters change by their neighbours, and those from right to left, are laid out by libraqm where
    Pillow has it, and else letter by letter.
    """
    font = font_for(words, height)
    if font is None:
        return None
    left, top, right, bottom = font.getbbox(words)
    from PIL import Image, ImageDraw

    image = Image.new("L", (max(1, right - min(left, 0)), max(1, bottom)))
    ImageDraw.Draw(image).text((-min(left, 0), 0), words, font=font, fill=255)
    return np.asarray(image, np.uint8)


def font_for(words: str, height: int) -> Any:
    """A font of this machine with every letter of the words, at a size; None where there is none, or no Pillow."""
    if find_spec("PIL") is None:
        return None
    found = _file_for("".join(sorted(set(words) - set(" \t"))))
    return None if found is None else _font(found, height)


@lru_cache(maxsize=64)
def _file_for(letters: str) -> str | None:
    return next((path for path in _files() if all(_has(path, letter) for letter in letters)), None)


@lru_cache(maxsize=1)
def _files() -> tuple[str, ...]:
    """Font files of this machine, plain ones first."""

    def rank(path: str) -> tuple[int, str]:
        name = Path(path).name
        places = [place for place, start in enumerate(PLAIN) if name.startswith(start)]
        return (places[0] if places else len(PLAIN) + ("Bold" in name or "Italic" in name), name)

    return tuple(sorted(_walk(), key=rank))


def _walk() -> Iterator[str]:
    for folder in FOLDERS.get(sys.platform, USUAL):
        for at, _, names in os.walk(Path(folder).expanduser()):
            yield from (str(Path(at) / name) for name in names if name.lower().endswith(SUFFIXES))


@lru_cache(maxsize=256)
def _font(path: str, height: int) -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(path, height)


@lru_cache(maxsize=4096)
def _has(path: str, letter: str) -> bool:
    """Whether a font draws a letter otherwise than one that it lacks."""
    try:
        font = _font(path, 24)
        return bytes(font.getmask(letter)) != bytes(font.getmask(ABSENT))
    except (OSError, ValueError):
        return False
