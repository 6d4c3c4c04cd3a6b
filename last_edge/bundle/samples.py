"""What a bundle shows of its classes: for each a typical motion, which nobody's recording is, to play and to draw.

`samples.npz` holds points (K, M, T, V, C) in the bundle's own layout and units, the classes they are of and their frame
rate; `gestures.svg` draws them as moving skeletons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from last_edge.arrays import npz_bytes, read_npz
from last_edge.bundle.manifest import PICTURE, SAMPLES
from last_edge.errors import InputError
from last_edge.skeleton import Layout

__all__ = ["PICTURE", "SAMPLES", "Samples", "draw"]

CELL, PAD, TITLE, COLUMNS = 96, 10, 14, 7
MOST_FRAMES = 12
LONG_NAME = 18
PAUSE = 0.35
"""Share of a motion's time that it rests before it begins again."""


@dataclass(frozen=True)
class Samples:
    """points: (K, M, T, V, C), NaN where missing. labels: the class of each. fps: frames a second."""

    points: NDArray[np.float32]
    labels: tuple[str, ...]
    fps: float

    def to_bytes(self) -> bytes:
        """As `samples.npz`; equal samples give equal bytes."""
        return npz_bytes({"points": self.points, "labels": np.array(self.labels), "fps": np.array([self.fps])})

    @classmethod
    def from_bytes(cls, content: bytes, *, where: object) -> Samples:
        """Read `samples.npz`, which holds no pickle; `InputError` where it is damaged."""
        arrays = read_npz(content, where=where, what="samples cannot be read")
        try:
            points, labels = np.asarray(arrays["points"], np.float32), tuple(map(str, arrays["labels"].tolist()))
            samples = cls(points, labels, float(arrays["fps"].item()))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError("damaged samples", where=where, got=error) from error
        if points.ndim != 5 or len(points) != len(labels) or not 0 < samples.fps < np.inf:
            raise InputError("damaged samples", where=where, expected="(K, M, T, V, C), K labels, a frame rate")
        return samples


def draw(samples: Samples, layout: Layout, *, down: bool) -> bytes:
    """An SVG of all motions, seven a row, each over and over. down: y grows downwards, as in images."""
    cells = [
        _cell(points[0], label, layout, samples.fps, number, down=down)
        for number, (points, label) in enumerate(zip(samples.points, samples.labels, strict=True))
    ]
    rows = -(-len(cells) // COLUMNS)
    width, height = COLUMNS * CELL, rows * (CELL + TITLE)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" font-family="sans-serif" font-size="9" text-anchor="middle">'
        f"<title>{escape(', '.join(samples.labels))}</title>"
        '<rect width="100%" height="100%" fill="#fff"/>'
    )
    return f"{head}{''.join(cells)}</svg>\n".encode()


def _cell(
    points: NDArray[np.float32], label: str, layout: Layout, fps: float, number: int, *, down: bool
) -> str:  # fmt: skip
    """One motion (T, V, C) in its place, below it the name."""
    seconds = len(points) / fps * (1 + PAUSE)
    flat = points[np.linspace(0, len(points) - 1, min(MOST_FRAMES, len(points))).round().astype(int), :, :2].copy()
    if not down:
        flat[..., 1] *= -1
    low, high = np.nanmin(flat, axis=(0, 1)), np.nanmax(flat, axis=(0, 1))
    scale = (CELL - 2 * PAD) / max(float((high - low).max()), 1e-9)
    placed = (flat - (low + high) / 2) * scale + CELL / 2
    shapes = [_path(frame, layout.edges) for frame in placed]
    shapes.append(shapes[-1])
    moments = [*np.linspace(0, 1 / (1 + PAUSE), len(shapes) - 1).round(3).tolist(), 1]
    squeezed = f' textLength="{CELL - 4}" lengthAdjust="spacingAndGlyphs"' if len(label) > LONG_NAME else ""
    x, y = number % COLUMNS * CELL, number // COLUMNS * (CELL + TITLE)
    return (
        f'<g transform="translate({x} {y})"><path fill="none" stroke="#246" stroke-width="1.5" stroke-linecap="round" '
        f'd="{shapes[0]}"><animate attributeName="d" dur="{seconds:.2f}s" repeatCount="indefinite" '
        f'keyTimes="{";".join(f"{moment:g}" for moment in moments)}" values="{";".join(shapes)}"/></path>'
        f'<text x="{CELL // 2}" y="{CELL + TITLE // 2}"{squeezed}>{escape(label)}</text></g>'
    )


def _path(frame: NDArray[np.float32], edges: Sequence[tuple[int, int]]) -> str:
    """The bones of one frame (V, 2); a bone with a missing end has no length, so that every frame has as many."""
    parts = []
    for one, other in edges:
        ends = frame[[one, other]]
        ends = np.where(np.isnan(ends).any(), CELL / 2, ends)
        parts.append("M{:.0f} {:.0f}L{:.0f} {:.0f}".format(*ends.reshape(-1)))
    return "".join(parts)
