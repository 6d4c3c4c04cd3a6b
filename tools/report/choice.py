"""The decision: which exported file to take for a budget of time and size, and which none of the others beats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from last_edge.tools.report.rows import Row


@dataclass(frozen=True)
class Budget:
    """What a device can afford. milliseconds: of p50; kilobytes: of the file, 1000 bytes each; None for any."""

    milliseconds: float | None = None
    kilobytes: float | None = None

    def allows(self, row: Row) -> bool:
        """Whether a row is known to keep it."""
        fast = self.milliseconds is None or (row.p50_ms is not None and row.p50_ms <= self.milliseconds)
        small = self.kilobytes is None or (row.size_bytes is not None and row.size_bytes <= 1000 * self.kilobytes)
        return fast and small


Cost = Callable[[Row], float | None]
COSTS: dict[str, Cost] = {"latency": lambda row: row.p50_ms, "size": lambda row: row.size_bytes}


def choose(rows: Sequence[Row], budget: Budget) -> list[dict[str, Any]]:
    """A decision for each task, as plain values; rows are named by their number in the table, from 1.

    recommended: the exported file with the best top-1 that keeps the budget, of equals the faster, then the smaller
    one; None where none is known to. front: numbers of the files that no other beats in accuracy and in the cost.
    """
    numbered = [(number, row) for number, row in enumerate(rows, 1) if row.kind == "bundle" and row.top1 is not None]
    decisions = []
    for task in dict.fromkeys(row.task for _, row in numbered):
        own = [(number, row) for number, row in numbered if row.task == task]
        allowed = [(number, row) for number, row in own if budget.allows(row)]
        best = max(allowed, key=lambda pair: _rank(pair[1]), default=None)
        decisions.append({
            "task": task,
            "budget_ms": budget.milliseconds,
            "budget_kb": budget.kilobytes,
            "candidates": len(own),
            "within": len(allowed),
            "recommended": None if best is None else best[0],
            "split": "" if best is None else best[1].split,
            "front": {name: front(own, cost) for name, cost in COSTS.items()},
        })  # fmt: skip
    return decisions


def _rank(row: Row) -> tuple[float, float, float]:
    worst = float("inf")
    slow = worst if row.p50_ms is None else row.p50_ms
    large = worst if row.size_bytes is None else float(row.size_bytes)
    return float(row.top1 or 0.0), -slow, -large


def front(rows: Sequence[tuple[int, Row]], cost: Cost) -> list[int]:
    """Numbers of the rows that are better than every cheaper one, the cheapest first (the Pareto front)."""
    priced = sorted(
        ((price, -float(row.top1 or 0.0), number) for number, row in rows if (price := cost(row)) is not None)
    )
    kept: list[int] = []
    best = 0.0
    for _, loss, number in priced:
        if not kept or loss < best:
            kept.append(number)
            best = loss
    return kept
