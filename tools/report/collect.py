"""What a report is about: runs, bundles and bench records under the given paths, and what is measured now."""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from last_edge import records
from last_edge.bundle import Bundle, is_bundle
from last_edge.bundle.manifest import (
    MANIFEST,
    SPANS,
    graph_files,
    precisions_of,
)
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError
from last_edge.files import sha256_of
from last_edge.tasks.registry import task_of_bundle
from last_edge.tasks.task import Task
from last_edge.timing import Schedule
from last_edge.tools.bench.live import LiveRecord
from last_edge.tools.bench.record import BENCH_FILE, BenchRecord, load_records
from last_edge.tools.bench.run import bench_bundles
from last_edge.tools.bench.subjects import BenchOptions

SCHEDULE = Schedule(rounds=10, calls=30)
RUN_FILES = ("run.json", "final.json", "metrics.jsonl")
RECIPE_FILE = "recipe.yaml"
LIVE_FILE = "live.json"
DEEPEST = 4
Metrics = dict[str, Any]


@dataclass(frozen=True)
class RunResult:
    """A run's folder. final: empty while it is unfinished. history: a row an epoch. size_bytes: of the weights.

    best: name of the chosen checkpoint.
    """

    path: Path
    final: Metrics
    history: tuple[dict[str, float], ...]
    recipe: str
    environment: dict[str, Any]
    size_bytes: int | None
    best: str = ""


@dataclass(frozen=True)
class BundleResult:
    """A bundle with every hash checked.

    measured: full metrics by precision, where a store was at hand, and which; of one that answers at every frame those
    of `evaluate_bundle_spans`.
    """

    bundle: Bundle
    measured: dict[str, Metrics] = field(default_factory=dict)
    store_sha256: str = ""

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.bundle.path

    @property
    def task(self) -> Task:
        """What its files are for."""
        return task_of_bundle(self.bundle.manifest)

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions of its model, or of its encoder."""
        return precisions_of(self.bundle.manifest)

    def size(self, precision: str) -> int:
        """Bytes of one graph, or of encoder and decoder."""
        return len(self._content(precision))

    def sha256(self, precision: str) -> str:
        """sha256 of one graph, or of encoder and decoder together."""
        return hashlib.sha256(self._content(precision)).hexdigest()

    def _content(self, precision: str) -> bytes:
        return b"".join(map(self.bundle.read, graph_files(self.bundle.manifest, precision)))


@dataclass(frozen=True)
class Collection:
    """All that was found. bench: records by the sha256 of the graph they measured; live: of sources in real time.

    files: sha256 of every file that figures were read from, by path.
    """

    runs: tuple[RunResult, ...]
    bundles: tuple[BundleResult, ...]
    bench: dict[str, list[BenchRecord]]
    live: tuple[LiveRecord, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


def collect(paths: Sequence[Path]) -> Collection:
    """Read every run, bundle and bench record under `paths`; `InputError` names a damaged file, or finds nothing."""
    folders = list(_unique(found for path in paths for found in find_artefacts(path)))
    if not folders:
        where = ", ".join(map(str, paths))
        raise InputError("no run and no bundle here", where=where, hint="last-edge train, last-edge export")
    bundles = tuple(BundleResult(Bundle.open(path)) for path in folders if is_bundle(path))
    runs = tuple(read_run(path) for path in folders if not is_bundle(path))
    places = [*paths, *folders]
    live = tuple(record for file in _beside(places, LIVE_FILE) for record in load_records(file, LiveRecord))
    return Collection(runs, bundles, read_bench(places), live, _hashes(runs, bundles, places))


def _hashes(runs: Iterable[RunResult], bundles: Iterable[BundleResult], places: list[Path]) -> dict[str, str]:
    """sha256 of what a report reads, by path: of a bundle its manifest, which names the others'."""
    files = [run.path / name for run in runs for name in (*RUN_FILES, RECIPE_FILE)]
    files += [run.path / "checkpoints" / run.best / "model.safetensors" for run in runs if run.best]
    files += [file for name in (BENCH_FILE, LIVE_FILE) for file in _beside(places, name)]
    found = {str(file): sha256_of(file) for file in files if file.is_file()}
    for result in bundles:
        content = result.bundle.contents[MANIFEST]
        found[str(result.path / MANIFEST)] = hashlib.sha256(content).hexdigest()
    return dict(sorted(found.items()))


def _beside(paths: Iterable[Path], name: str) -> list[Path]:
    """The files of a name in the given folders and those that hold them."""
    places = [place / name for path in paths for place in (path, path.parent)]
    return [file for file in _unique(places) if file.is_file()]


def find_artefacts(path: Path, *, depth: int = 0) -> Iterator[Path]:
    """Runs and bundles at or below `path`, in order of name; of a run also the bundles that lie in it."""
    if not path.exists():
        raise InputError("no such file or folder", where=path)
    run = is_run(path)
    if is_bundle(path) or run:
        yield path
    if run:
        yield from (child for child in sorted(path.iterdir()) if is_bundle(child) and not _is_left(child))
    elif path.is_dir() and not is_bundle(path) and depth < DEEPEST:
        for child in sorted(path.iterdir()):
            if not _is_left(child):
                yield from find_artefacts(child, depth=depth + 1)


def _is_left(path: Path) -> bool:
    """Whether it is hidden, or what a killed writer left."""
    return path.name.startswith(".") or path.name.endswith((".partial", ".old"))


def is_run(path: Path) -> bool:
    """Whether a training run lies here."""
    return any((path / name).is_file() for name in RUN_FILES)


def read_run(path: Path) -> RunResult:
    """A run's figures; what it has not written yet is empty."""
    name = str(_object(path / "run.json").get("best", ""))
    best = path / "checkpoints" / name
    recipe, weights = path / RECIPE_FILE, best / "model.safetensors"
    return RunResult(
        path, final=_final(path / "final.json"), history=_history(path / "metrics.jsonl"),
        recipe=recipe.read_text(encoding="utf-8") if recipe.exists() else "",
        environment=_environment(best / "env.json"),
        size_bytes=weights.stat().st_size if weights.exists() else None, best=name,
    )  # fmt: skip


def read_bench(paths: Iterable[Path]) -> dict[str, list[BenchRecord]]:
    """Records of every `bench.json` in the given folders and those that hold them, by the graph's sha256."""
    found: dict[str, list[BenchRecord]] = {}
    for file in _beside(paths, BENCH_FILE):
        for record in load_records(file, BenchRecord):
            rows = found.setdefault(record.artefact_sha256, [])
            if record not in rows:
                rows.append(record)
    return found


@dataclass(frozen=True)
class ClassFigures:
    """What `classification_metrics` gives; `InputError` names what is otherwise."""

    top1: float
    top3: float
    top5: float
    n: int
    mean_class: float
    ece: float
    per_class: dict[str, float]
    per_subject: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...]
    reliability: tuple[dict[str, float], ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class SentenceFigures:
    """Of a translator."""

    bleu4: float
    chrf: float
    wer: float
    exact: float
    n: int


@dataclass(frozen=True)
class FrameFigures:
    """Of a network for streams."""

    frames: float
    mean_class: float
    n: int


FIGURES_BY: dict[str, type] = {"top1": ClassFigures, "bleu4": SentenceFigures, "frames": FrameFigures}
"""The figures of a split by one that only they hold."""


def _final(path: Path) -> Metrics:
    """What a finished run measured, as its page shows it; empty where it is not finished."""
    final = _object(path)
    for name, kind in {"model": str, "params": int, "val_subjects": list}.items():
        if not isinstance(final.get(name, kind()), kind):
            raise InputError(
                f"{name} is of another type", where=path, expected=kind.__name__, got=str(final[name])[:80]
            )
    for split in ("val", "test"):
        if split in final:
            figures = final[split] if isinstance(final[split], dict) else {}
            figures_kind = next((kind for name, kind in FIGURES_BY.items() if name in figures), ClassFigures)
            names = {field.name for field in dataclasses.fields(figures_kind)}
            own = {name: value for name, value in figures.items() if name in names}
            known: Any = records.from_dict(figures_kind, own, where=f"{path} › {split}")
            counts, labels = getattr(known, "confusion", ()), getattr(known, "labels", ())
            if any(len(row) != len(labels) for row in (labels, *counts)) or len(counts) != len(labels):
                raise InputError("confusion and labels do not fit", where=f"{path} › {split}")
    return final


def _environment(path: Path) -> dict[str, Any]:
    environment = _object(path)
    if not isinstance(environment.get("packages") or {}, dict):
        raise InputError("packages are no object", where=path)
    return environment


def _object(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is no such file."""
    content = records.read_json(path) if path.exists() else {}
    if not isinstance(content, dict):
        raise InputError("not a JSON object", where=path, got=type(content).__name__)
    return content


def _history(path: Path) -> tuple[dict[str, float], ...]:
    if not path.exists():
        return ()
    rows = tuple(records.parse_json(line, where=path) for line in path.read_bytes().splitlines() if line.strip())
    if not all(isinstance(row, dict) and row.get("epoch") is not None for row in rows):
        raise InputError("every line needs an epoch", where=path)
    odd = [name for row in rows for name, value in row.items() if not isinstance(value, int | float | None)]
    if odd:
        raise InputError("figures of an epoch are numbers", where=path, got=odd[0])
    return rows


def _unique(paths: Iterable[Path]) -> Iterator[Path]:
    seen = set()
    for path in paths:
        if path.resolve() not in seen:
            seen.add(path.resolve())
            yield path


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


def with_accuracy(found: Collection, stores: Sequence[ClipStore]) -> Collection:
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


def _evaluated(result: BundleResult, stores: Sequence[ClipStore]) -> BundleResult:
    """With the figures of the first store that fits, by precision."""
    from last_edge.export.proof.evaluate import evaluate_bundle
    from last_edge.export.proof.span_events import evaluate_bundle_spans

    manifest, by_frame = result.bundle.manifest, result.task.by_frame
    if by_frame and SPANS not in result.bundle.contents:
        return result
    measure = evaluate_bundle_spans if by_frame else evaluate_bundle
    for store in stores:
        if store.layout == manifest.input.layout and result.task.fits(store, manifest.labels):
            measured = {name: measure(result.bundle, store, precision=name) for name in result.precisions}
            return dataclasses.replace(result, measured=measured, store_sha256=store.sha256)
    return result
