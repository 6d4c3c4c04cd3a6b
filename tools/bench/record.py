"""Lists of records as JSON, tables and pages, and `BenchRecord`: one exported file measured on one machine."""

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from last_edge import __version__, machine, records
from last_edge.errors import InputError
from last_edge.files import write_text
from last_edge.tools.output import make_table, markdown

BENCH_FILE = "bench.json"
KIND_SHOWN = {"bundle": "", "plain": " (plain)", "file": ""}
Record = TypeVar("Record")
Columns = Mapping[str, Callable[[Record], str]]
"""What each column of a table shows of a record."""
PACKAGES = ("numpy", "onnxruntime", "ai-edge-litert", "mediapipe", "opencv-python", "opencv-python-headless")
LEFT_OUT = ("artefact", "platform")
"""Of each row: a path may hold a user's name, and the platform's text a host's."""


def save_records(rows: Sequence[object], path: Path) -> None:
    """Write records as a JSON list."""
    write_text(path, json.dumps([records.to_dict(row) for row in rows], indent=1) + "\n")


def load_records(path: Path, kind: type[Record]) -> list[Record]:
    """Read what `save_records` wrote; `InputError` names file, row and field when it does not fit."""
    content = records.read_json(path)
    if not isinstance(content, list):
        got, hint = type(content).__name__, "a file that `last-edge bench … --out FILE.json` wrote"
        raise InputError("not a list of measurements", where=path, expected=kind.__name__, got=got, hint=hint)
    return [records.from_dict(kind, row, where=f"{path} › {index}") for index, row in enumerate(content)]


def page(
    title: str, about: str, rows: Sequence[Record], *, columns: Columns[Record], where: Callable[[Record], str]
) -> str:
    """Markdown: a table for each machine (`where`), under the commands that measured it."""
    parts = [f"# {title}\n", about]
    for place in dict.fromkeys(map(where, rows)):
        here = [row for row in rows if where(row) == place]
        commands = "\n".join(dict.fromkeys(row.command for row in here if row.command))  # type: ignore[attr-defined]
        parts += [
            f"{place}.\n",
            f"```sh\n{commands}\n```\n",
            markdown({name: list(map(show, here)) for name, show in columns.items()}),
        ]
    return "\n".join(parts)


@dataclass(frozen=True)
class BenchRecord:
    """One row: artefact sha256 × device × backend × precision × threads.

    artefact: the bundle as it was named. file: the graph inside it, artefact_sha256: of that graph's bytes; of a
    translator's whole sentence, `sentence.PRECISION`, of both graphs'.
    device: the processor. p50_ms: median over rounds of each round's median; p95_ms, p99_ms: of all timed calls,
    batch 1. calls: how many were timed. rss_mb: peak memory of a fresh process that loads the file and runs it.
    load_ms: opening the graph. top1, top3: percent over `n` clips of `split`, as measured of this very file and
    written in the manifest; None where it was not. kind: `bundle`, a bare `file`, or a `plain` export to compare with.
    people: how many a call answers. settings: what of the backend's is not as usual. faster_than_fp32: p50 of the FP32
    file of the same artefact, backend and threads over this one's; faster_than_plain: the same of the plain file, None
    where there is none.
    board: as the device tree names it. heat: hottest sensor after the run; slowed: why the processor was slowed before
    or after it, "" where it was not: such a row counts for nothing. clock: `wall`, or `processor` time of a thread.
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
    people: int = 1
    settings: str = ""
    faster_than_fp32: float | None = None
    faster_than_plain: float | None = None
    board: str = ""
    heat: float | None = None
    slowed: str = ""
    clock: str = "wall"
    schema_version: int = 1

    @property
    def part(self) -> str:
        """Which of a bundle's graphs: `model`, or a translator's `encoder`, `decoder` or whole `sentence`."""
        return self.file.partition(".")[0]


def with_ratios(rows: Sequence[BenchRecord]) -> list[BenchRecord]:
    """Rows of one benchmark with how many times faster each is than its own FP32 file and than a plain one.

    With several plain files a row is compared with the one of its own input shape.
    """

    def of_float(row: BenchRecord) -> tuple[object, ...]:
        """What a row shares with the FP32 row that it is compared with; each part of a translator has its own."""
        return row.artefact, row.backend, row.threads, row.part

    def ratio(other: float | None, row: BenchRecord) -> float | None:
        return None if other is None else round(other / row.p50_ms, 3)

    fp32 = {of_float(row): row.p50_ms for row in rows if row.precision == "fp32"}
    plain = {(row.input_shape, row.backend, row.threads): row.p50_ms for row in rows if row.kind == "plain"}
    return [
        replace(
            row,
            faster_than_fp32=ratio(fp32.get(of_float(row)), row),
            faster_than_plain=ratio(plain.get((row.input_shape, row.backend, row.threads)), row),
        )
        for row in rows
    ]


def bench_table(rows: Sequence[BenchRecord]) -> Any:
    """One line a record; columns that no record fills are left out."""
    columns: dict[str, list[str]] = {
        "artefact": [row.artefact + KIND_SHOWN[row.kind] for row in rows],
        "part": [row.part if row.kind == "bundle" and row.part != "model" else "" for row in rows],
        "backend": [f"{row.backend} {row.backend_version}" for row in rows],
        "precision": [row.precision for row in rows],
        "threads": [str(row.threads) for row in rows],
        "people": [str(row.people) if row.people > 1 else "" for row in rows],
        "settings": [row.settings for row in rows],
        **{f"{part} ms": [_milliseconds(getattr(row, f"{part}_ms")) for row in rows] for part in ("p50", "p95", "p99")},
        "× fp32": [_shown(row.faster_than_fp32) for row in rows],
        "× plain": [_shown(row.faster_than_plain) for row in rows],
        "load ms": [f"{row.load_ms:.1f}" for row in rows],
        "kB": [f"{row.size_bytes / 1000:.0f}" for row in rows],
        "MB": [_shown(row.rss_mb) for row in rows],
        "top-1": [_shown(row.top1) for row in rows],
        "slowed": [row.slowed for row in rows],
    }
    filled = {name: cells for name, cells in columns.items() if any(cells)}
    by = "" if rows[0].clock == "wall" else f", {rows[0].clock} time"
    return make_table(f"{rows[0].device}, batch 1{by}; ×: how many times faster", filled)


def _milliseconds(value: float) -> str:
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def shared(rows: Sequence[BenchRecord]) -> dict[str, Any]:
    """Machine, versions and figures as one object of JSON."""
    versions = {"last-edge": __version__, "python": platform.python_version()}
    versions |= {name: found for name in PACKAGES if (found := machine.installed(name))}
    whole = [records.to_dict(row) for row in rows]
    return {
        "board": machine.board(),
        "processor": machine.processor(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "instructions": sorted(machine.features() & set(machine.INSTRUCTIONS)),
        "heat": records.to_dict(machine.heat()),
        "versions": versions,
        "rows": [{name: value for name, value in row.items() if name not in LEFT_OUT} for row in whole],
        "schema_version": 1,
    }


def save_shared(rows: Sequence[BenchRecord], path: Path) -> None:
    """Write the object to a file."""
    write_text(path, json.dumps(shared(rows), indent=1, ensure_ascii=False) + "\n")
