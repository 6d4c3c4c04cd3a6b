"""Benchmarking exported files: artefacts × backends × precisions × threads, all of them in turns in one process."""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from last_edge.errors import UsageError
from last_edge.inputs.features import LANDMARKS, Inputs
from last_edge.machine import board, heat, processor
from last_edge.runtime.backends import BACKENDS, OnnxRuntimeCpu
from last_edge.timing import Latency, clock_for, peak_process_mb, summarise, time_in_turns
from last_edge.tools.bench.record import BenchRecord, with_ratios
from last_edge.tools.bench.subjects import BenchOptions, Kind, Loaded, load_all


def bench_bundles(paths: Sequence[Path], options: BenchOptions | None = None) -> list[BenchRecord]:
    """One record a file, backend and thread count, in the order given, the plain files last.

    paths: bundles and bare ONNX files. Raises `InputError` for a damaged bundle or one without an asked precision,
    `MissingError` without the backend.
    """
    options = options or BenchOptions()
    if not paths:
        raise UsageError("nothing to benchmark", hint="last-edge bench BUNDLE")
    operands: list[tuple[Path, Kind]] = [(path, "file") for path in paths]
    operands += [(path, "plain") for path in options.plain]
    loaded = [graph for path, kind in operands for graph in load_all(path, options, kind=kind)]
    if not loaded:
        raise UsageError("no file for these backends", got=options.backends, hint="last-edge doctor")
    alone = all(graph.settings.threads == 1 and graph.backend is OnnxRuntimeCpu for graph in loaded)
    if options.clock == "processor" and not alone:
        raise UsageError("processor time is of one thread", expected=f"--threads 1 and {OnnxRuntimeCpu.name} alone")
    clock = time.perf_counter if options.clock == "wall" else clock_for(1)
    before = heat()
    times = time_in_turns([graph.run for graph in loaded], options.schedule, clock=clock)
    after = heat()
    slowed = ", ".join(dict.fromkeys((*before.slowed, *after.slowed)))
    rows = [_record(graph, summarise(own), options) for graph, own in zip(loaded, times, strict=True)]
    return with_ratios([replace(row, board=board(), heat=after.celsius, slowed=slowed) for row in rows])


def _record(graph: Loaded, latency: Latency, options: BenchOptions) -> BenchRecord:
    """One row; its accuracy is the manifest's of this very file, None where it was not measured."""
    subject, backend = graph.subject, graph.backend
    memory = None
    if options.memory and graph.alone:
        memory = peak_memory(subject.content, subject.one(0), backend=backend.name, threads=graph.settings.threads)
    accuracy: dict[str, Any] = {key: subject.metrics[key] for key in ("top1", "top3", "n") if key in subject.metrics}
    return BenchRecord(
        artefact=subject.artefact, artefact_sha256=subject.sha256, name=subject.name, kind=subject.kind,
        file=subject.file, device=processor(), cores=os.cpu_count() or 1, platform=platform.platform(),
        backend=backend.name, backend_version=backend.version(), precision=subject.precision,
        threads=graph.settings.threads, settings=graph.settings.describe() if backend is OnnxRuntimeCpu else "",
        people=options.people, clock=options.clock,
        input_shape=tuple(subject.one(0)[LANDMARKS].shape), calls=latency.calls, rounds=options.schedule.rounds,
        p50_ms=latency.p50, p95_ms=latency.p95, p99_ms=latency.p99, size_bytes=len(subject.content),
        load_ms=graph.load_ms, rss_mb=memory, split=str(subject.metrics.get("split", "")), **accuracy,
    )  # fmt: skip


CALLS = 3


def peak_memory(graph: bytes, inputs: Inputs, *, backend: str, threads: int) -> float | None:
    """MB a process needs to import the runtime, load `graph` and run one clip's inputs; None where unknown."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.onnx").write_bytes(graph)
        np.savez(Path(folder, "inputs.npz"), allow_pickle=False, **inputs)
        command = [sys.executable, "-m", "last_edge.tools.bench.run", folder, backend, str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 and done.stdout.strip() else None


def main(folder: str, backend: str, threads: str) -> None:
    """Load, run, and write the peak to stdout."""
    model = BACKENDS[backend](Path(folder, "model.onnx"), threads=int(threads))
    with np.load(Path(folder, "inputs.npz"), allow_pickle=False) as stored:
        inputs = dict(stored)
    for _ in range(CALLS):
        model.run(inputs)
    peak = peak_process_mb()
    sys.stdout.write("" if peak is None else f"{peak}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
