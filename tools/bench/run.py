"""Benchmarking bundles: every graph of every bundle, interleaved, on the bundle's own golden clips."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle import Bundle
from last_edge.bundle.manifest import model_file
from last_edge.errors import UsageError
from last_edge.names import did_you_mean
from last_edge.runtime.backends import BACKENDS, Backend
from last_edge.runtime.model import check_graph
from last_edge.tools.bench.measure import Latency, Schedule, time_in_turns, time_loading
from last_edge.tools.bench.memory import peak_memory
from last_edge.tools.bench.record import BenchRecord
from last_edge.train.environment import processor


@dataclass(frozen=True)
class BenchOptions:
    """precisions: empty for all a bundle has. threads: of the model. memory: start a process a file to weigh it."""

    precisions: tuple[str, ...] = ()
    threads: int = 1
    backend: str = "onnxruntime-cpu"
    memory: bool = True
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class Loaded:
    """One graph ready to run. points: (n, T, V, C) golden clips, fed one at a time."""

    bundle: Bundle
    precision: str
    model: Backend
    points: NDArray[np.float32]
    load_ms: float

    @property
    def file(self) -> str:
        """The graph's name inside the bundle."""
        return model_file(self.precision)

    def one(self, index: int) -> NDArray[np.float32]:
        """A batch of one golden clip."""
        start = index % len(self.points)
        return self.points[start : start + 1]

    def run(self, index: int) -> object:
        """One prediction."""
        return self.model(self.one(index))


def bench_bundles(paths: Sequence[Path], options: BenchOptions | None = None) -> list[BenchRecord]:
    """One record a graph, in the order given.

    Raises `InputError` for a damaged bundle or one without an asked precision, `MissingError` without the backend.
    """
    options = options or BenchOptions()
    if not paths:
        raise UsageError("nothing to benchmark", hint="last-edge bench BUNDLE")
    loaded = [graph for path in paths for graph in load_graphs(Bundle.open(path), options)]
    latencies = time_in_turns([graph.run for graph in loaded], options.schedule)
    return [_record(graph, latency, options) for graph, latency in zip(loaded, latencies, strict=True)]


def load_graphs(bundle: Bundle, options: BenchOptions) -> list[Loaded]:
    """Load the asked precisions of a bundle, each timed."""
    if options.backend not in BACKENDS:
        raise UsageError(f"unknown backend {options.backend!r}", expected=did_you_mean(options.backend, BACKENDS))
    return [_load(bundle, precision, options) for precision in options.precisions or bundle.precisions]


def _load(bundle: Bundle, precision: str, options: BenchOptions) -> Loaded:
    graph, points = bundle.graph(precision), bundle.golden.points
    model, load_ms = time_loading(lambda: BACKENDS[options.backend](graph, threads=options.threads))
    check_graph(model, bundle, precision=precision)
    return Loaded(bundle, precision, model, points, load_ms)


def _record(graph: Loaded, latency: Latency, options: BenchOptions) -> BenchRecord:
    content, manifest = graph.bundle.read(graph.file), graph.bundle.manifest
    return BenchRecord(
        artefact=str(graph.bundle.path),
        artefact_sha256=manifest.files[graph.file],
        name=manifest.name,
        file=graph.file,
        device=processor(),
        cores=os.cpu_count() or 1,
        platform=platform.platform(),
        backend=graph.model.name,
        backend_version=graph.model.version(),
        precision=graph.precision,
        threads=options.threads,
        input_shape=tuple(graph.one(0).shape),
        calls=latency.calls,
        rounds=options.schedule.rounds,
        p50_ms=latency.p50,
        p95_ms=latency.p95,
        p99_ms=latency.p99,
        size_bytes=len(content),
        load_ms=graph.load_ms,
        rss_mb=_memory(graph, content, options),
        **_accuracy(manifest.metrics.get(graph.precision, {})),
    )


def _memory(graph: Loaded, content: bytes, options: BenchOptions) -> float | None:
    if not options.memory:
        return None
    return peak_memory(content, graph.one(0), backend=options.backend, threads=options.threads)


def _accuracy(metrics: dict[str, Any]) -> dict[str, Any]:
    """The manifest's figures for this file; absent ones stay None."""
    found: dict[str, Any] = {key: metrics[key] for key in ("top1", "top3", "n") if key in metrics}
    return found | {"split": str(metrics.get("split", ""))}
