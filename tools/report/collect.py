"""Gathering what lies under the given paths: training runs, bundles, bench records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from last_edge import records
from last_edge.bundle import Bundle, is_bundle
from last_edge.bundle.manifest import decoder_of, encoder_file, encoder_precisions, model_file, translates
from last_edge.errors import InputError
from last_edge.tools.bench.record import BENCH_FILE, BenchRecord, load_records

RUN_FILES = ("run.json", "final.json", "metrics.jsonl")
DEEPEST = 4
Metrics = dict[str, Any]


@dataclass(frozen=True)
class RunResult:
    """A run's folder. final: empty while it is unfinished. history: a row an epoch. size_bytes: of the weights."""

    path: Path
    final: Metrics
    history: tuple[dict[str, float], ...]
    recipe: str
    environment: dict[str, Any]
    size_bytes: int | None


@dataclass(frozen=True)
class BundleResult:
    """A bundle with every hash checked. measured: full metrics by precision, where a store was at hand."""

    bundle: Bundle
    measured: dict[str, Metrics] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.bundle.path

    @property
    def translates(self) -> bool:
        """Whether it gives sentences."""
        return translates(self.bundle.manifest)

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions of its model, or of its encoder."""
        return encoder_precisions(self.bundle.manifest) if self.translates else self.bundle.precisions

    def size(self, precision: str) -> int:
        """Bytes of one graph, or of encoder and decoder."""
        return len(self._content(precision))

    def sha256(self, precision: str) -> str:
        """sha256 of one graph, or of encoder and decoder together."""
        return hashlib.sha256(self._content(precision)).hexdigest()

    def _content(self, precision: str) -> bytes:
        pair = (encoder_file(precision), decoder_of(self.bundle.manifest, precision))
        return b"".join(self.bundle.read(name) for name in (pair if self.translates else (model_file(precision),)))


@dataclass(frozen=True)
class Collection:
    """All that was found. bench: records by the sha256 of the graph they measured."""

    runs: tuple[RunResult, ...]
    bundles: tuple[BundleResult, ...]
    bench: dict[str, list[BenchRecord]]


def collect(paths: Sequence[Path]) -> Collection:
    """Read every run, bundle and bench record under `paths`; `InputError` names a damaged file, or finds nothing."""
    folders = list(_unique(found for path in paths for found in find_artefacts(path)))
    if not folders:
        where = ", ".join(map(str, paths))
        raise InputError("no run and no bundle here", where=where, hint="last-edge train, last-edge export")
    bundles = tuple(BundleResult(Bundle.open(path)) for path in folders if is_bundle(path))
    runs = tuple(read_run(path) for path in folders if not is_bundle(path))
    return Collection(runs, bundles, read_bench([*paths, *folders]))


def find_artefacts(path: Path, *, depth: int = 0) -> Iterator[Path]:
    """Runs and bundles at or below `path`, in order of name; nothing inside of one is searched."""
    if not path.exists():
        raise InputError("no such file or folder", where=path)
    if is_bundle(path) or is_run(path):
        yield path
    elif path.is_dir() and depth < DEEPEST:
        for child in sorted(path.iterdir()):
            if not child.name.startswith(".") and not child.name.endswith((".partial", ".old")):
                yield from find_artefacts(child, depth=depth + 1)


def is_run(path: Path) -> bool:
    """Whether a training run lies here."""
    return any((path / name).is_file() for name in RUN_FILES)


def read_run(path: Path) -> RunResult:
    """A run's figures; what it has not written yet is empty."""
    best = _best_checkpoint(path)
    recipe, weights = path / "recipe.yaml", best / "model.safetensors"
    return RunResult(
        path,
        final=_object(path / "final.json"),
        history=_history(path / "metrics.jsonl"),
        recipe=recipe.read_text(encoding="utf-8") if recipe.exists() else "",
        environment=_object(best / "env.json"),
        size_bytes=weights.stat().st_size if weights.exists() else None,
    )


def read_bench(paths: Iterable[Path]) -> dict[str, list[BenchRecord]]:
    """Records of every `bench.json` in the given folders and those that hold them, by the graph's sha256."""
    folders = [place for path in paths for place in (path, path.parent)]
    found: dict[str, list[BenchRecord]] = {}
    for file in _unique(folder / BENCH_FILE for folder in folders if (folder / BENCH_FILE).is_file()):
        for record in load_records(file):
            rows = found.setdefault(record.artefact_sha256, [])
            if record not in rows:
                rows.append(record)
    return found


def _best_checkpoint(path: Path) -> Path:
    return path / "checkpoints" / str(_object(path / "run.json").get("best", ""))


def _object(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is no such file."""
    content = records.read_json(path) if path.exists() else {}
    if not isinstance(content, dict):
        raise InputError("not a JSON object", where=path, got=type(content).__name__)
    return content


def _history(path: Path) -> tuple[dict[str, float], ...]:
    if not path.exists():
        return ()
    try:
        rows = tuple(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError("not a list of JSON lines", where=path, got=error) from error
    if not all(isinstance(row, dict) and "epoch" in row for row in rows):
        raise InputError("every line needs an epoch", where=path)
    return rows


def _unique(paths: Iterable[Path]) -> Iterator[Path]:
    seen = set()
    for path in paths:
        if path.resolve() not in seen:
            seen.add(path.resolve())
            yield path
