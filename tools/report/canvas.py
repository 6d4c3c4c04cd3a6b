"""Drawings as inline SVG that takes its ink from the page, so one drawing serves light and dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#010203"  # stands for the page's text colour until `finish` replaces it
SERIES = ("#2f7ed8", "#d9822b", "#3fa45b", "#b65fcf", "#d14b58", "#8a8d91")
COLOURS = SERIES * 8
BLUES = LinearSegmentedColormap.from_list("share", [(0.18, 0.49, 0.85, 0.0), (0.18, 0.49, 0.85, 1.0)])
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.18,
    "legend.frameon": False,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("grid.color", "legend.labelcolor"), INK),
}


@contextmanager
def styled(salt: str, **changes: Any) -> Iterator[None]:
    """The style of every drawing; the same salt gives the same ids, and so the same bytes."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt, **changes}):
        yield


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    return figure, axes


def finish(figure: Figure) -> str:
    """The figure as an `<svg>` element without fixed size, foreign addresses or fixed ink.

    Text stays text, so a script that matplotlib's fonts lack is drawn by the page's; only its width is estimated.
    """
    stream = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(stream, format="svg", metadata=nothing)
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"|(<svg[^>]*?) height="[^"]*" width="[^"]*"', r"\1\2", svg)
    svg = re.sub(r'\s?xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    return svg.replace(INK, "currentColor").strip()
