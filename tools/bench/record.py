"""`BenchRecord`: one exported file measured on one machine; a `bench.json` is a list of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from last_edge import records
from last_edge.errors import InputError
from last_edge.files import write_text

BENCH_FILE = "bench.json"


@dataclass(frozen=True)
class BenchRecord:
    """One row: artefact sha256 × device × backend × precision × threads.

    artefact: the bundle as it was named. file: the graph inside it, artefact_sha256: of that graph's bytes; of a
    translator's whole sentence, `sentence.PRECISION`, of both graphs'.
    device: the processor. p50_ms: median over rounds of each round's median; p95_ms, p99_ms: of all timed calls,
    batch 1. calls: how many were timed. rss_mb: peak memory of a fresh process that loads the file and runs it.
    load_ms: opening the graph. top1, top3: percent over `n` clips of `split`, as measured of this very file and
    written in the manifest; None where it was not. kind: `bundle`, a bare `file`, or a `plain` export to compare with.
    settings: what of the backend's is not as usual. faster_than_fp32: p50 of the FP32 file of the same artefact,
    backend and threads over this one's; faster_than_plain: the same of the plain file, None where there is none.
    """

    artefact: str
    artefact_sha256: str
    name: str
    file: str
    device: str
    cores: int
    platform: str
    backend: str
    backend_version: str
    precision: str
    threads: int
    input_shape: tuple[int, ...]
    calls: int
    rounds: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    size_bytes: int
    load_ms: float
    rss_mb: float | None = None
    top1: float | None = None
    top3: float | None = None
    n: int | None = None
    split: str = ""
    kind: str = "bundle"
    settings: str = ""
    faster_than_fp32: float | None = None
    faster_than_plain: float | None = None
    schema_version: int = 1

    @property
    def part(self) -> str:
        """Which of a bundle's graphs: `model`, or a translator's `encoder`, `decoder` or whole `sentence`."""
        return self.file.partition(".")[0]


def with_ratios(rows: Sequence[BenchRecord]) -> list[BenchRecord]:
    """Rows of one benchmark with how many times faster each is than its own FP32 file and than a plain one.

    With several plain files a row is compared with the one of its own input shape.
    """
    fp32 = {_of_float(row): row.p50_ms for row in rows if row.precision == "fp32"}
    plain = {(row.input_shape, row.backend, row.threads): row.p50_ms for row in rows if row.kind == "plain"}
    return [
        replace(
            row,
            faster_than_fp32=_ratio(fp32.get(_of_float(row)), row),
            faster_than_plain=_ratio(plain.get((row.input_shape, row.backend, row.threads)), row),
        )
        for row in rows
    ]


def _of_float(row: BenchRecord) -> tuple[object, ...]:
    """What a row shares with the FP32 row that it is compared with; each part of a translator has its own."""
    return row.artefact, row.backend, row.threads, row.part


def _ratio(other: float | None, row: BenchRecord) -> float | None:
    return None if other is None else round(other / row.p50_ms, 3)


def save_records(rows: Sequence[BenchRecord], path: Path) -> None:
    """Write rows as a JSON list."""
    write_text(path, json.dumps([records.to_dict(row) for row in rows], indent=2) + "\n")


def load_records(path: Path) -> list[BenchRecord]:
    """Read a `bench.json`; `InputError` names file, row and field when it does not fit."""
    content = records.read_json(path)
    if not isinstance(content, list):
        raise InputError("not a list of bench records", where=path, hint="last-edge bench BUNDLE --out bench.json")
    return [records.from_dict(BenchRecord, row, where=f"{path} › {index}") for index, row in enumerate(content)]
