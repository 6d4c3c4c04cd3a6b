"""Accuracy against what it costs: every file named, with its interval, the front drawn, the budget marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from last_edge.tools.report.canvas import COLOURS, INK, SERIES, canvas, finish, styled
from last_edge.tools.report.choice import COSTS
from last_edge.tools.report.rows import Row, wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = {"latency": ("p50 latency, ms (batch 1)", 1.0), "size": ("size of the file, kB", 1e-3)}
BUDGETS = {"latency": "budget_ms", "size": "budget_kb"}
GAP = 0.075
"""Share of the height between two names."""


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
                [price for _, price in own],
                [float(row.top1 or 0.0) for row, _ in own],
                s=42,
                color=colour,
                label=precision,
            )
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
