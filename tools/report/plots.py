"""The report's plots as inline SVG that takes its ink from the page, so one drawing serves light and dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from last_edge.tools.report.collect import Collection, Row, RunResult, make_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#010203"  # stands for the page's text colour until `_finish` replaces it
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
MOST_TICKS = 40


@dataclass(frozen=True)
class Drawing:
    """An inline SVG. heading: what it stands under. folded: whether it waits behind a click."""

    heading: str
    title: str
    svg: str | None
    folded: bool = False


def draw(found: Collection) -> dict[str, list[Drawing]]:
    """Every plot that the collection has figures for, by heading, each with what it says to those who cannot see it."""
    drawn: dict[str, list[Drawing]] = {}
    for drawing in _drawings(found):
        if drawing.svg:
            drawn.setdefault(drawing.heading, []).append(drawing)
    return drawn


def _drawings(found: Collection) -> Iterator[Drawing]:
    yield Drawing(
        "Accuracy against latency",
        "Exported files: top-1 over p50; area follows the file's size",
        accuracy_against_latency(make_rows(found)),
    )
    for title, keys, about in (
        ("BLEU-4", {"val_bleu4": "-"}, "BLEU-4 of greedy search on sentences of held-out subjects"),
        (
            "top-1, %",
            {"train_top1": ":", "val_top1": "-"},
            "Top-1 on training clips (dotted) and on held-out training subjects",
        ),
        ("loss", {"loss": ":", "val_loss": "-"}, "Loss on training clips (dotted) and on held-out training subjects"),
    ):
        yield Drawing("Training", about, curves(found.runs, keys=keys, title=title))
    measured = [(f"{run.path}, torch fp32", run.final.get("test", {})) for run in found.runs]
    for bundle in found.bundles:
        measured += [(f"{bundle.path}, {precision}", metrics) for precision, metrics in bundle.measured.items()]
    for name, metrics in measured:
        if metrics.get("per_class"):
            bars = per_class_bars(metrics["per_class"], name=name)
            yield Drawing(name, "Share of clips recognised, by class", bars, folded=True)
        if metrics.get("confusion"):
            matrix = confusion_matrix(metrics["confusion"], metrics["labels"], name=name)
            yield Drawing(name, "Confusion: true class by predicted class", matrix, folded=True)


def curves(runs: Sequence[RunResult], *, keys: Mapping[str, str], title: str) -> str | None:
    """Epoch curves of every run; `keys` maps a history column to its line style. None when no run has one."""
    shown = [run for run in runs if any(key in row for row in run.history for key in keys)]
    if not shown:
        return None
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}):
        figure, axes = _canvas(5.4, 3.3)
        for run, colour in zip(shown, COLOURS, strict=False):
            for key, style in keys.items():
                _draw_curve(axes, run, key, style, colour)
        axes.set(xlabel="epoch", ylabel=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=9)
        return _finish(figure)


def accuracy_against_latency(rows: Sequence[Row]) -> str | None:
    """Top-1 over p50 of every exported file that has both; a circle's area follows the file's size."""
    shown = [
        (row.precision, row.p50_ms, row.top1, row.size_bytes)
        for row in rows
        if row.p50_ms is not None and row.top1 is not None and row.size_bytes is not None
    ]
    if not shown:
        return None
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "scatter"}):
        figure, axes = _canvas(5.4, 3.3)
        largest = max(size for _, _, _, size in shown)
        for precision, colour in zip(sorted({name for name, *_ in shown}), COLOURS, strict=False):
            own = [figures for name, *figures in shown if name == precision]
            milliseconds, top1, sizes = zip(*own, strict=True)
            area = [40 + 260 * size / largest for size in sizes]
            axes.scatter(milliseconds, top1, s=area, color=colour, alpha=0.75, label=precision)
        axes.set(xlabel="p50 latency, ms (batch 1)", ylabel="top-1, %")
        axes.margins(0.2)
        axes.legend(fontsize=9, markerscale=0.6)
        return _finish(figure)


def confusion_matrix(counts: Sequence[Sequence[int]], labels: Sequence[str], *, name: str) -> str:
    """Shares of each true class (row) by predicted class (column)."""
    table = np.asarray(counts, np.float64)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.17 * min(len(labels), MOST_TICKS)
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": f"confusion {name}", "axes.grid": False}):
        figure, axes = _canvas(side, side)
        axes.pcolormesh(
            share, cmap=BLUES, vmin=0, vmax=1, edgecolors=INK, linewidth=0.05, rasterized=len(labels) > MOST_TICKS
        )
        axes.set(xlabel="predicted", ylabel="true", aspect="equal")
        axes.invert_yaxis()
        _name_classes(axes, labels)
        return _finish(figure)


def per_class_bars(per_class: Mapping[str, float], *, name: str) -> str:
    """Share of clips recognised, class by class, the hardest on top."""
    ordered = sorted(per_class.items(), key=lambda pair: (-pair[1], pair[0]))
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": f"bars {name}"}):
        figure, axes = _canvas(5.4, 0.8 + 0.2 * len(ordered))
        bars = axes.barh([label for label, _ in ordered], [share for _, share in ordered], color=SERIES[0], height=0.65)
        axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
        axes.set(xlabel="recognised, %", xlim=(0, 108), ylim=(-0.6, len(ordered) - 0.4))
        axes.grid(axis="y", visible=False)
        return _finish(figure)


def _draw_curve(axes: Axes, run: RunResult, key: str, style: str, colour: str) -> None:
    points = [(row["epoch"], row[key]) for row in run.history if key in row]
    if points:
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, style, color=colour, linewidth=1.6, label=f"{run.path.name} {key.replace('_', ' ')}")


def _name_classes(axes: Axes, labels: Sequence[str]) -> None:
    if len(labels) > MOST_TICKS:
        return
    places = np.arange(len(labels)) + 0.5
    axes.set_xticks(places, labels, rotation=90, fontsize=7)
    axes.set_yticks(places, labels, fontsize=7)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    return figure, axes


def _finish(figure: Figure) -> str:
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
