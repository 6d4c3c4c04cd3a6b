"""A report from what was asked of it, so that the same words make the same report again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from last_edge import records
from last_edge.clips.store import ClipStore
from last_edge.files import sha256_of
from last_edge.tools.bench.record import BenchRecord
from last_edge.tools.report.collect import Collection, collect, with_accuracy, with_latency
from last_edge.tools.report.decisions import decisions
from last_edge.tools.report.measured import comparisons, open_stores, streams
from last_edge.tools.report.render import Report, make_report
from last_edge.tools.report.rows import Budget, choose, make_rows


@dataclass(frozen=True)
class Asked:
    """What a report is to be about.

    paths: runs, bundles and folders. stores: where exported files are measured. ablations: held against the rules.
    bench: time files that have no record. threads: of the model meanwhile. gestures: clips of the composed
    recordings, 0 for none. budget_ms, budget_kb: what the device affords.
    """

    paths: tuple[str, ...]
    stores: tuple[str, ...] = ()
    ablations: tuple[str, ...] = ()
    bench: bool = True
    threads: int = 1
    gestures: int = 0
    budget_ms: float | None = None
    budget_kb: float | None = None


def gather(asked: Asked) -> Collection:
    """Everything that lies under the paths, measured on the stores, and timed where no record is at hand."""
    found = collect([Path(path) for path in asked.paths])
    found = with_accuracy(found, open_stores(list(map(Path, asked.stores))))
    return with_latency(found, threads=asked.threads) if asked.bench else found


def build(asked: Asked, found: Collection, *, title: str, environment: dict[str, Any], command: str = "") -> Report:
    """The whole report as plain values; nothing is timed here."""
    stores = open_stores(list(map(Path, asked.stores)))
    rows = make_rows(found)
    choices = choose(rows, Budget(asked.budget_ms, asked.budget_kb))
    best = [choice["recommended"] for choice in choices if choice["recommended"] is not None]
    report = make_report(
        found, title=title, environment=environment, command=command,
        decisions=[decisions(Path(path)) for path in asked.ablations],
    )  # fmt: skip
    return report | {
        "asked": records.to_dict(asked),
        "choices": choices,
        "comparisons": comparisons(found, stores, rows, best),
        "streams": streams(found, stores, gestures=asked.gestures),
        "stores": {str(store.path): _facts(store) for store in stores},
        "files": found.files | {path: sha256_of(Path(path)) for path in asked.ablations},
    }


def _facts(store: ClipStore) -> dict[str, Any]:
    return {"sha256": store.sha256, "layout": store.layout.name, "clips": len(store)}


def with_records(found: Collection, timed: list[BenchRecord]) -> Collection:
    """The collection with these bench records in the place of its own for the same graphs."""
    fresh: dict[str, list[BenchRecord]] = {}
    for record in timed:
        fresh.setdefault(record.artefact_sha256, []).append(record)
    return dataclasses.replace(found, bench={**found.bench, **fresh})
