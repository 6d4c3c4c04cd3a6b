"""The rows of a report, one a trained run and one an exported file and bench record, and which of them to take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from last_edge.tasks import metrics
from last_edge.tools.bench.record import BenchRecord
from last_edge.tools.report.collect import BundleResult, Collection, Metrics, RunResult

SPEED = ("p50_ms", "p95_ms", "p99_ms", "rss_mb", "load_ms", "threads", "backend", "device")
FIGURES = ("top1", "top3", "top5", "ece", "bleu4", "wer", "n")


@dataclass(frozen=True)
class Row:
    """One line of every form of the report.

    kind: `run` (trained weights) or `bundle` (an exported file). top1, top3, top5, ece: percent over `n` clips of
    `split`; accuracy_from: the file that says so. bleu4, wer: of a translator. p50_ms, p95_ms, p99_ms: batch 1, by
    `backend` on `device`; of a translator a sentence. task: what is told apart; only rows of one task compare.
    """

    artefact: str
    kind: str
    model: str
    precision: str
    params: int | None
    size_bytes: int | None
    top1: float | None = None
    top3: float | None = None
    top5: float | None = None
    ece: float | None = None
    bleu4: float | None = None
    wer: float | None = None
    n: int | None = None
    split: str = ""
    accuracy_from: str = ""
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    rss_mb: float | None = None
    load_ms: float | None = None
    threads: int | None = None
    backend: str = ""
    device: str = ""
    sha256: str = ""
    task: str = ""


def make_rows(found: Collection) -> list[Row]:
    """Rows of all runs, then of all bundles, FP32 before INT8."""
    rows = [run_row(run) for run in found.runs]
    for bundle in found.bundles:
        for precision in bundle.precisions:
            rows += bundle_rows(bundle, precision, found.bench.get(bundle.sha256(precision), []))
    return rows


def run_row(run: RunResult) -> Row:
    """The trained weights as the run tested them."""
    return Row(
        str(run.path), "run", str(run.final.get("model", "")), "torch fp32", run.final.get("params"), run.size_bytes,
        **_accuracy(run.final.get("test", {}), split="test", source="final.json"),
    )  # fmt: skip


def bundle_rows(result: BundleResult, precision: str, bench: list[BenchRecord]) -> list[Row]:
    """One row a bench record of this very file, or one without latency."""
    manifest = result.bundle.manifest
    common: dict[str, Any] = {
        "artefact": str(result.path),
        "kind": "bundle",
        "model": manifest.model.name,
        "precision": precision,
        "params": manifest.model.params,
        "size_bytes": result.size(precision),
        "sha256": result.sha256(precision),
        "task": result.task.told_apart(manifest.labels, manifest.input.layout.name),
        **_bundle_accuracy(result, precision),
    }
    return [Row(**common, **{name: getattr(record, name) for name in SPEED}) for record in bench] or [Row(**common)]


def _bundle_accuracy(result: BundleResult, precision: str) -> dict[str, Any]:
    """Measured in this command where it was; else the manifest's word."""
    if precision in result.measured:
        return _accuracy(result.measured[precision], split="test", source="measured now")
    stated = result.bundle.manifest.metrics.get(precision, {})
    return _accuracy(stated, split=str(stated.get("split", "")), source="manifest.json")


def _accuracy(metrics: Metrics, *, split: str, source: str) -> dict[str, Any]:
    if "top1" not in metrics and "bleu4" not in metrics:
        return {}
    figures: dict[str, Any] = {key: metrics[key] for key in FIGURES if key in metrics}
    return {**figures, "split": split, "accuracy_from": source}


def wilson(row: Row) -> tuple[float, float] | None:
    """The 95 % interval of top-1 in percent that its number of clips allows (Wilson 1927)."""
    if row.top1 is None or not row.n:
        return None
    return metrics.wilson(round(row.top1 * row.n / 100.0), row.n)


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
            "task": task, "budget_ms": budget.milliseconds, "budget_kb": budget.kilobytes, "candidates": len(own),
            "within": len(allowed), "recommended": None if best is None else best[0],
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
