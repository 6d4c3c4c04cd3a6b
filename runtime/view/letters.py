"""Letters that OpenCV's own strokes lack: any script that a font of this machine has, drawn by Pillow, where it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
