"""What the report measures itself: accuracy of exported files on stores, latency of files without a bench record."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from last_edge.tools.bench.measure import Schedule
from last_edge.tools.bench.run import BenchOptions, bench_bundles
from last_edge.tools.report.collect import BundleResult, Collection

SCHEDULE = Schedule(rounds=10, calls=30)


def with_latency(found: Collection, *, threads: int = 1) -> Collection:
    """The collection with a bench record for every exported file; those that have one keep it."""
    missing = [result.path for result in found.bundles if _unmeasured(result, found)]
    if not missing:
        return found
    bench = {sha256: list(rows) for sha256, rows in found.bench.items()}
    for record in bench_bundles(missing, BenchOptions(threads=threads, schedule=SCHEDULE)):
        bench.setdefault(record.artefact_sha256, [record])
    return dataclasses.replace(found, bench=bench)


def with_accuracy(found: Collection, stores: Sequence[Path]) -> Collection:
    """The collection with full metrics of every exported file that one of the stores fits."""
    return dataclasses.replace(found, bundles=tuple(_evaluated(result, stores) for result in found.bundles))


def _unmeasured(result: BundleResult, found: Collection) -> bool:
    return any(result.sha256(precision) not in found.bench for precision in result.bundle.precisions)


def _evaluated(result: BundleResult, stores: Sequence[Path]) -> BundleResult:
    from last_edge.clips.store import ClipStore
    from last_edge.export.evaluate import evaluate_bundle

    spec, labels = result.bundle.manifest.input, result.bundle.manifest.labels
    for path in stores:
        store = ClipStore.open(path)
        if store.layout == spec.layout and store.labels == labels:
            precisions = result.bundle.precisions
            metrics = {name: evaluate_bundle(result.bundle, store, precision=name) for name in precisions}
            return dataclasses.replace(result, measured=metrics)
    return result
