"""What the report measures itself: accuracy of exported files on stores, latency of files without a bench record."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from last_edge.timing import Schedule
from last_edge.tools.bench.record import BenchRecord
from last_edge.tools.bench.run import BenchOptions, bench_bundles
from last_edge.tools.report.collect import BundleResult, Collection, Metrics

if TYPE_CHECKING:
    from last_edge.clips.store import ClipStore

SCHEDULE = Schedule(rounds=10, calls=30)


def with_latency(found: Collection, *, threads: int = 1) -> Collection:
    """The collection with a bench record for every exported file; a bundle that has all of its own keeps them.

    One that lacks a record is timed whole, and its older records give way, so that no gain of INT8 over FP32 compares
    two measurements; so is every bundle that shares a graph with it.
    """
    chosen = _to_time(found)
    if not chosen:
        return found
    fresh: dict[str, list[BenchRecord]] = {}
    options = BenchOptions(threads=(threads,), schedule=SCHEDULE)
    for record in bench_bundles([result.path for result in chosen], options):
        fresh.setdefault(record.artefact_sha256, [record])
    return dataclasses.replace(found, bench={**found.bench, **fresh})


def with_accuracy(found: Collection, stores: Sequence[Path]) -> Collection:
    """The collection with full metrics of every exported file that one of the stores fits."""
    return dataclasses.replace(found, bundles=tuple(_evaluated(result, stores) for result in found.bundles))


def _to_time(found: Collection) -> list[BundleResult]:
    """The bundles with a graph that has no record or that one of the others brings a new record of."""
    graphs = {result.path: set(map(result.sha256, result.precisions)) for result in found.bundles}
    chosen = {path for path, mine in graphs.items() if mine - found.bench.keys()}
    while True:
        timed = {sha256 for path in chosen for sha256 in graphs[path]}
        touched = {path for path, mine in graphs.items() if mine & timed}
        if touched == chosen:
            return [result for result in found.bundles if result.path in chosen]
        chosen = touched


def _evaluated(result: BundleResult, stores: Sequence[Path]) -> BundleResult:
    from last_edge.clips.store import ClipStore
    from last_edge.export.proof.evaluate import evaluate_bundle

    spec, labels = result.bundle.manifest.input, result.bundle.manifest.labels
    for path in stores:
        store = ClipStore.open(path)
        if result.translates and store.layout == spec.layout and (store.index.text != "").any():
            return dataclasses.replace(result, measured=_translated(result, store))
        if store.layout == spec.layout and store.labels == labels:
            precisions = result.bundle.precisions
            metrics = {name: evaluate_bundle(result.bundle, store, precision=name) for name in precisions}
            return dataclasses.replace(result, measured=metrics)
    return result


def _translated(result: BundleResult, store: ClipStore) -> dict[str, Metrics]:
    """A translator's figures on a store, by precision."""
    from last_edge.export.proof.translation_figures import evaluate_bundle

    return {name: evaluate_bundle(result.path, store, split="test", precision=name) for name in result.precisions}
