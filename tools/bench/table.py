"""Bench records for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from last_edge.tools.bench.record import BenchRecord
from last_edge.tools.cli.output import make_table

BARE = {"bundle": "", "plain": " (plain)", "file": ""}


def bench_table(rows: Sequence[BenchRecord]) -> Any:
    """One line a record; columns that no record fills are left out."""
    columns: dict[str, list[str]] = {
        "artefact": [row.artefact + BARE[row.kind] for row in rows],
        "part": [row.part if row.kind == "bundle" and row.part != "model" else "" for row in rows],
        "backend": [f"{row.backend} {row.backend_version}" for row in rows],
        "precision": [row.precision for row in rows],
        "threads": [str(row.threads) for row in rows],
        "settings": [row.settings for row in rows],
        **{f"{part} ms": [f"{getattr(row, part + '_ms'):.2f}" for row in rows] for part in ("p50", "p95", "p99")},
        "× fp32": [_shown(row.faster_than_fp32) for row in rows],
        "× plain": [_shown(row.faster_than_plain) for row in rows],
        "load ms": [f"{row.load_ms:.1f}" for row in rows],
        "kB": [f"{row.size_bytes / 1000:.0f}" for row in rows],
        "MB": [_shown(row.rss_mb) for row in rows],
        "top-1": [_shown(row.top1) for row in rows],
    }
    filled = {name: cells for name, cells in columns.items() if any(cells)}
    return make_table(f"{rows[0].device}, batch 1; ×: how many times faster", filled)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
