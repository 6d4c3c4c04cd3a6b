"""What a report draws, by heading: the decision, change by class and person, calibration, confusion, curves, streams.

Drawings are inline SVG that takes its ink from the page, so one drawing serves light and dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from last_edge.tools.report.collect import BundleResult, Collection, RunResult
from last_edge.tools.report.rows import COSTS, Row, wilson

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
MOST_TICKS = 40
DECISION, TRAINING, STREAMS = "Decision", "Training", "Long recordings"
BY_CLASS, BY_PERSON, CALIBRATION = "By class: FP32 to INT8", "By person", "Calibration"
CURVES = (
    ("Loss on the same terms: training clips (dotted) and held-out people, neither augmented nor smoothed", "loss",
     {"clean_loss": ":", "val_loss": "-"}),
    ("Top-1 on the same terms: training clips (dotted) and held-out people, not augmented", "top-1, %",
     {"clean_top1": ":", "val_top1": "-"}),
    ("What training minimises, augmented and smoothed as the recipe says; no other curve is on these terms",
     "training loss", {"loss": ":"}),
    ("BLEU-4 of greedy search on sentences of held-out people", "BLEU-4", {"val_bleu4": "-"}),
)  # fmt: skip
AXES = {"latency": ("p50 latency, ms (batch 1)", 1.0), "size": ("size of the file, kB", 1e-3)}
BETWEEN = "the first minute; what was done above, what was answered below, each class's probability between"
BUDGETS = {"latency": "budget_ms", "size": "budget_kb"}
ROW_S = 20.0
BAND, BANDS = 0.2, {"truth": (1.15, 1.58), "events": (-0.35, -0.58)}
"""Height of a band of spans, and of each the place of its lower edge and of its names; probabilities lie in 0..1."""
LETTER_S = 0.28
"""Seconds of a row that a letter of a name takes."""
GAP = 0.075
"""Share of the height between two names."""


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


@dataclass(frozen=True)
class Drawing:
    """An inline SVG. heading: what it stands under. folded: name of the artefact that it waits with, behind a click."""

    heading: str
    title: str
    svg: str | None
    folded: str = ""


def draw(found: Collection, report: Mapping[str, Any]) -> dict[str, list[Drawing]]:
    """Every plot that the report has figures for, by heading, each with what it says to those who cannot see it."""
    drawn: dict[str, list[Drawing]] = {}
    for drawing in (*_decision(report), *_of_runs(found), *_of_files(found), *_of_streams(report)):
        if drawing.svg:
            drawn.setdefault(drawing.heading, []).append(drawing)
    return drawn


def _decision(report: Mapping[str, Any]) -> Iterator[Drawing]:
    rows = [Row(**row) for row in report["rows"]]
    for choice in report["choices"]:
        for cost in COSTS:
            about = (
                f"{choice['task']}: top-1 and its 95 % interval over {cost}; the line joins what no other file beats"
            )
            yield Drawing(DECISION, about, accuracy_against(rows, cost, choice=choice))


def _of_runs(found: Collection) -> Iterator[Drawing]:
    for about, title, keys in CURVES:
        yield Drawing(TRAINING, about, curves(found.runs, keys=keys, title=title))


def _of_files(found: Collection) -> Iterator[Drawing]:
    measured = [(f"{run.path}, torch fp32", run.final.get("test", {})) for run in found.runs]
    for bundle in found.bundles:
        measured += [(f"{bundle.path}, {precision}", metrics) for precision, metrics in bundle.measured.items()]
        for heading, kind in ((BY_CLASS, "per_class"), (BY_PERSON, "per_subject")):
            rows = list(changes(bundle, kind))
            about = f"{bundle.path}: share recognised by the FP32 file (ring) and the INT8 file (dot)"
            yield Drawing(heading, about, change(rows, name=f"{bundle.path} {kind}") if rows else None)
    for name, metrics in measured:
        if metrics.get("reliability"):
            about = f"{name}: share right by stated probability, calibration error {metrics['ece']:g} %"
            yield Drawing(CALIBRATION, about, reliability(metrics["reliability"], name=name))
    for name, metrics in measured:
        for kind, title in (("per_class", "by class"), ("per_subject", "by person")):
            if metrics.get(kind):
                bars = share_bars(metrics[kind], name=f"{name} {kind}")
                yield Drawing(f"{name}", f"Share of clips recognised, {title}", bars, folded=name)
        if metrics.get("confusion"):
            matrix = confusion_matrix(metrics["confusion"], metrics["labels"], name=name)
            yield Drawing(f"{name}", "Confusion: clips of a true class by predicted class", matrix, folded=name)


def _of_streams(report: Mapping[str, Any]) -> Iterator[Drawing]:
    for row in report["streams"]:
        about = f"{row['artefact']} {row['precision']}, {row['timeline']['about']}: {BETWEEN}"
        yield Drawing(STREAMS, about, timeline(row["timeline"], name=row["artefact"]))


def curves(runs: Sequence[RunResult], *, keys: Mapping[str, str], title: str) -> str | None:
    """Epoch curves of every run; `keys` maps a history column to its line style. None when no run has one."""
    shown = [run for run in runs if any(key in row for row in run.history for key in keys)]
    if not shown:
        return None
    with styled(title):
        figure, axes = canvas(5.4, 3.3)
        for run, colour in zip(shown, COLOURS, strict=False):
            for key, style in keys.items():
                points = [(row["epoch"], row[key]) for row in run.history if key in row]
                if points:
                    epochs, values = zip(*points, strict=True)
                    label = f"{run.path.name} {key.replace('_', ' ')}"
                    axes.plot(epochs, values, style, color=colour, linewidth=1.6, label=label)
        axes.set(xlabel="epoch", ylabel=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=9)
        return finish(figure)


def change(rows: Sequence[tuple[str, float, float]], *, name: str) -> str:
    """A line a class or person from its FP32 to its INT8 figure, the largest change on top, the points beside it."""
    ordered = list(reversed(rows))
    with styled(f"change {name}"):
        figure, axes = canvas(5.4, 0.9 + 0.2 * len(ordered))
        places = np.arange(len(ordered))
        before, after = (np.array([row[index] for row in ordered]) for index in (1, 2))
        axes.hlines(places, before, after, color=INK, linewidth=1, alpha=0.6)
        axes.scatter(before, places, s=34, facecolors="none", edgecolors=SERIES[1], label="FP32")
        axes.scatter(after, places, s=16, color=SERIES[0], label="INT8", zorder=3)
        for place, (_, fp32, int8) in enumerate(ordered):
            if int8 != fp32:
                axes.text(102, place, f"{int8 - fp32:+.1f}", va="center", fontsize=8)
        axes.set_yticks(places, [row[0] for row in ordered], fontsize=8)
        lowest = max(min(before.min(), after.min()) - 6, -1)
        axes.set(xlabel="recognised, %", xlim=(lowest, 112), ylim=(-0.7, len(ordered) - 0.3))
        axes.set_xticks([tick for tick in axes.get_xticks() if lowest <= tick <= 100])
        axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        return finish(figure)


def changes(result: BundleResult, kind: str) -> Iterator[tuple[str, float, float]]:
    """Name, FP32 and INT8 figure of each class (`per_class`) or person (`per_subject`), the largest change first."""
    one, other = (result.measured.get(precision, {}).get(kind, {}) for precision in ("fp32", "int8"))
    both = [(str(name), float(one[name]), float(other[name])) for name in one if name in other]
    yield from sorted(both, key=lambda row: (-abs(row[2] - row[1]), row[0]))


def reliability(bins: Sequence[Mapping[str, float]], *, name: str) -> str:
    """Share of right answers over stated probability (Guo et al. 2017, figure 1); the clips of each bin above it."""
    with styled(f"reliability {name}"):
        figure, axes = canvas(4.2, 3.3)
        axes.plot((0, 100), (0, 100), "--", color=INK, linewidth=0.8, alpha=0.6)
        stated, right, counts = ([row[key] for row in bins] for key in ("confidence", "right", "n"))
        axes.bar(stated, right, width=5, color=SERIES[0], alpha=0.75)
        for x, y, count in zip(stated, right, counts, strict=True):
            axes.text(x, y + 1.5, f"{count:.0f}", ha="center", fontsize=7)
        axes.set(xlabel="stated probability, %", ylabel="right, %", xlim=(0, 104), ylim=(0, 110))
        return finish(figure)


def confusion_matrix(counts: Sequence[Sequence[int]], labels: Sequence[str], *, name: str) -> str:
    """Clips of each true class (row) by predicted class (column), coloured by their share of the row."""
    table = np.asarray(counts, np.float64)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.2 * min(len(labels), MOST_TICKS)
    with styled(f"confusion {name}", **{"axes.grid": False}):
        figure, axes = canvas(side, side)
        axes.pcolormesh(
            share, cmap=BLUES, vmin=0, vmax=1, edgecolors=INK, linewidth=0.05, rasterized=len(labels) > MOST_TICKS
        )
        axes.set(xlabel="predicted", ylabel="true", aspect="equal")
        axes.invert_yaxis()
        if len(labels) <= MOST_TICKS:
            for row, column in np.argwhere(table > 0).tolist():
                text = f"{table[row, column]:.0f}"
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=6)
            places = np.arange(len(labels)) + 0.5
            axes.set_xticks(places, labels, rotation=90, fontsize=7)
            axes.set_yticks(places, labels, fontsize=7)
        return finish(figure)


def share_bars(shares: Mapping[str, float], *, name: str) -> str:
    """Share of clips recognised, the hardest class or person on top."""
    ordered = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
    with styled(f"bars {name}"):
        figure, axes = canvas(5.4, 0.8 + 0.2 * len(ordered))
        bars = axes.barh([label for label, _ in ordered], [share for _, share in ordered], color=SERIES[0], height=0.65)
        axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
        axes.set(xlabel="recognised, %", xlim=(0, 108), ylim=(-0.6, len(ordered) - 0.4))
        axes.grid(axis="y", visible=False)
        return finish(figure)


def timeline(shown: Mapping[str, Any], *, name: str) -> str | None:
    """What was done above, what was answered below, and between them the probabilities of the classes, over seconds.

    Rows of `ROW_S` seconds, so that names stay readable where the page is narrow.
    """
    if not shown["truth"]:
        return None
    labels = sorted({*shown["posteriors"], *(span["label"] for kind in BANDS for span in shown[kind])})
    colour = dict(zip(labels, (COLOURS * (1 + len(labels) // len(COLOURS))), strict=False))
    last = max([*shown["moments_s"], *(span["end_s"] for span in shown["truth"])])
    rows = max(1, int(np.ceil(last / ROW_S)))
    with styled(f"timeline {name}"):
        figure = Figure(figsize=(5.4, 0.3 + 1.7 * rows), layout="constrained")
        figure.patch.set_alpha(0)
        for row, axes in enumerate(figure.subplots(rows, 1, squeeze=False)[:, 0]):
            axes.patch.set_alpha(0)
            _row_of_timeline(axes, shown, colour, start_s=row * ROW_S)
        axes.set_xlabel("seconds", fontsize=8)
        return finish(figure)


def _row_of_timeline(axes: Axes, shown: Mapping[str, Any], colour: Mapping[str, str], *, start_s: float) -> None:
    for kind, (low, text) in BANDS.items():
        inside: list[tuple[float, float, str]] = []
        for span in shown[kind]:
            begin, end = max(span["start_s"], start_s), min(max(span["end_s"], span["start_s"] + 0.2), start_s + ROW_S)
            if begin < end:
                axes.broken_barh([(begin, end - begin)], (low, BAND), color=colour[span["label"]], alpha=0.85)
                inside.append((begin, end, span["label"]))
        inside.sort()
        for (begin, _, label), (until, *_) in zip(inside, [*inside[1:], (start_s + ROW_S, 0.0, "")], strict=False):
            axes.text(begin, text, _shortened(label or "unknown", until - begin), fontsize=8, va="center")
    for label, values in shown["posteriors"].items():
        axes.plot(shown["moments_s"], values, color=colour[label], linewidth=1.1)
    places = {low + BAND / 2: said for said, (low, _) in zip(("done", "answered"), BANDS.values(), strict=True)}
    axes.set_yticks([0, 1, *places], ["0", "1", *places.values()], fontsize=8)
    axes.grid(axis="y", visible=False)
    axes.axhline(0, color=INK, linewidth=0.6, alpha=0.4)
    axes.xaxis.set_major_locator(MultipleLocator(5))
    axes.tick_params(axis="x", labelsize=8)
    axes.set(xlim=(start_s, start_s + ROW_S), ylim=(-0.78, 1.78))


def _shortened(name: str, seconds: float) -> str:
    """As much of a name as has room for so many seconds of a row of the timeline; nothing where that is a letter."""
    room = int(seconds / LETTER_S)
    if len(name) <= room:
        return name
    return f"{name[: room - 1]}…" if room > 2 else ""


def accuracy_against(rows: Sequence[Row], cost: str, *, choice: Mapping[str, Any]) -> str | None:
    """Top-1 over one of `COSTS` of each exported file of a task that has both; names and numbers stand at the side."""
    title, factor = AXES[cost]
    shown = [
        (number, row, factor * price)
        for number, row in enumerate(rows, 1)
        if (row.kind, row.task) == ("bundle", choice["task"])
        and row.top1 is not None
        and (price := COSTS[cost](row)) is not None
    ]
    if not shown:
        return None
    with styled(f"decision {cost} {choice['task']}"):
        figure, axes = canvas(6.4, 3.7)
        for precision, colour in zip(sorted({row.precision for _, row, _ in shown}), COLOURS, strict=False):
            own = [(row, price) for _, row, price in shown if row.precision == precision]
            axes.scatter(
                [price for _, price in own], [float(row.top1 or 0.0) for row, _ in own], s=42, color=colour,
                label=precision,
            )  # fmt: skip
            for row, price in own:
                if (span := wilson(row)) is not None:
                    axes.vlines(price, *span, color=colour, linewidth=1.2, alpha=0.55)
        best = [(price, row.top1) for number, row, price in shown if number in choice["front"][cost]]
        if len(best) > 1:
            axes.plot(*zip(*sorted(best), strict=True), color=SERIES[2], linewidth=1.3, alpha=0.9, label="front")
        key = BUDGETS[cost]
        if choice.get(key) is not None:
            axes.axvline(choice[key], color=SERIES[4], linestyle="--", linewidth=1.1, label="budget")
        for number, row, price in shown:
            if number == choice.get("recommended"):
                axes.scatter(
                    [price], [float(row.top1 or 0.0)], s=190, facecolors="none", edgecolors=INK, linewidths=1.4
                )
        prices = [price for _, _, price in shown] + ([choice[key]] if choice.get(key) is not None else [])
        low, high = min(prices), max(prices)
        room = (high - low) or high or 1.0
        axes.set(xlabel=title, ylabel="top-1, %", xlim=(max(low - 0.12 * room, 0.0), high + 0.12 * room))
        axes.margins(y=0.12)
        _name(axes, [(f"{number} {Path(row.artefact).name} {row.precision}", price, float(row.top1 or 0.0))
                     for number, row, price in shown])  # fmt: skip
        axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
        return finish(figure)


def _name(axes: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    """Names in a column at the right, in the order of height, apart from one another, each with a line to its point."""
    low, high = axes.get_ylim()
    heights: list[float] = []
    ordered = sorted(points, key=lambda point: point[2])
    for _, _, y in ordered:
        wanted = (y - low) / (high - low)
        heights.append(max(wanted, heights[-1] + GAP) if heights else max(wanted, 0.02))
    beyond = max(heights[-1] - 0.98, 0.0)
    for (name, x, y), height in zip(ordered, heights, strict=True):
        axes.annotate(
            name, (x, y), xytext=(1.03, height - beyond), textcoords="axes fraction", fontsize=8, va="center",
            arrowprops={"arrowstyle": "-", "color": INK, "alpha": 0.3, "linewidth": 0.7}, annotation_clip=False,
        )  # fmt: skip
