"""The rows of a report: one a trained run, one an exported file and bench record."""

from __future__ import annotations

import hashlib
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
        str(run.path),
        "run",
        str(run.final.get("model", "")),
        "torch fp32",
        run.final.get("params"),
        run.size_bytes,
        **_accuracy(run.final.get("test", {}), split="test", source="final.json"),
    )


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
        "task": task_of(result),
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
    if not metrics:
        return {}
    figures: dict[str, Any] = {key: metrics[key] for key in FIGURES if key in metrics}
    return {**figures, "split": split, "accuracy_from": source}


def wilson(row: Row) -> tuple[float, float] | None:
    """The 95 % interval of top-1 in percent that its number of clips allows (Wilson 1927)."""
    if row.top1 is None or not row.n:
        return None
    return metrics.wilson(round(row.top1 * row.n / 100.0), row.n)


def task_of(result: BundleResult) -> str:
    """What a bundle tells apart, in a few words that differ where its labels do."""
    manifest = result.bundle.manifest
    if result.translates:
        return f"sentences of {manifest.input.layout.name}"
    names = hashlib.sha256("\n".join(sorted(manifest.labels)).encode()).hexdigest()
    return f"{len(manifest.labels)} classes of {manifest.input.layout.name} ({names[:4]})"
