"""What a report is about: runs, bundles and bench records under the given paths, what is measured now, the rows."""

from __future__ import annotations

import dataclasses
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
from last_edge.timing import Schedule
from last_edge.tools.bench.record import BENCH_FILE, BenchRecord, load_records
from last_edge.tools.bench.run import BenchOptions, bench_bundles

SCHEDULE = Schedule(rounds=10, calls=30)
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
    best = path / "checkpoints" / str(_object(path / "run.json").get("best", ""))
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
        for record in load_records(file, BenchRecord):
            rows = found.setdefault(record.artefact_sha256, [])
            if record not in rows:
                rows.append(record)
    return found


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


SPEED = ("p50_ms", "p95_ms", "p99_ms", "rss_mb", "load_ms", "threads", "backend", "device")
FIGURES = ("top1", "top3", "top5", "ece", "bleu4", "wer", "n")


@dataclass(frozen=True)
class Row:
    """One line of every form of the report.

    kind: `run` (trained weights) or `bundle` (an exported file). top1, top3, top5, ece: percent over `n` clips of
    `split`; accuracy_from: the file that says so. bleu4, wer: of a translator. p50_ms, p95_ms, p99_ms: batch 1, by
    `backend` on `device`; of a translator a sentence.
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
    """With the figures of the first store that fits, by precision."""
    from last_edge.clips.store import ClipStore
    from last_edge.export.proof.evaluate import evaluate_bundle

    spec, labels = result.bundle.manifest.input, result.bundle.manifest.labels
    for path in stores:
        store = ClipStore.open(path)
        fits = (store.index.text != "").any() if result.translates else store.labels == labels
        if store.layout == spec.layout and fits:
            measured = {name: evaluate_bundle(result.bundle, store, precision=name) for name in result.precisions}
            return dataclasses.replace(result, measured=measured)
    return result
