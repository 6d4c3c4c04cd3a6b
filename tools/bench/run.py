"""Benchmarking exported files: artefacts × backends × precisions × threads, all of them in turns in one process."""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from last_edge.bundle import Bundle, is_bundle
from last_edge.bundle.manifest import translates
from last_edge.errors import UsageError
from last_edge.inputs.features import LANDMARKS, Inputs
from last_edge.machine import board, heat, processor
from last_edge.runtime.backends import BACKENDS, OnnxRuntimeCpu
from last_edge.runtime.recognise.model import Settings
from last_edge.timing import Latency, Schedule, clock_for, peak_process_mb, summarise, time_in_turns
from last_edge.tools.bench import subjects
from last_edge.tools.bench.record import BenchRecord, with_ratios


@dataclass(frozen=True)
class BenchOptions:
    """precisions: empty for all a bundle has. backends: by name, `all` for every one that can run here.

    threads: of the model; empty for each bundle's own, else one. usual: leave a bundle's own settings alone.
    plain: ONNX files to compare every other with. memory: start a process a row to weigh it. people: how many a call
    answers, of bundles that answer at every frame. clock: `wall`, or `processor` time of one thread of ONNX Runtime,
    so that other programs do not count.
    """

    precisions: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    backends: tuple[str, ...] = (OnnxRuntimeCpu.name,)
    plain: tuple[Path, ...] = ()
    usual: bool = False
    memory: bool = True
    people: int = 1
    clock: Literal["wall", "processor"] = "wall"
    schedule: Schedule = field(default_factory=Schedule)


def bench_bundles(paths: Sequence[Path], options: BenchOptions | None = None) -> list[BenchRecord]:
    """One record a file, backend and thread count, in the order given, the plain files last.

    paths: bundles and bare ONNX files. Raises `InputError` for a damaged bundle or one without an asked precision,
    `MissingError` without the backend.
    """
    options = options or BenchOptions()
    if not paths:
        raise UsageError("nothing to benchmark", hint="last-edge bench BUNDLE")
    operands: list[tuple[Path, subjects.Kind]] = [(path, "file") for path in paths]
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


def load_all(path: Path, options: BenchOptions, *, kind: subjects.Kind = "file") -> list[subjects.Loaded]:
    """Load what the asked backends run of one operand, for each thread count, each load timed.

    Of a translator these are its encoder, a step of its decoder and a whole sentence; of a stream it is one frame.
    """
    bundle = Bundle.open(path) if is_bundle(path) else None
    if bundle is not None and translates(bundle.manifest):
        return subjects.load_translators(
            bundle, precisions=options.precisions, threads=options.threads, backends=options.backends
        )
    if bundle is not None and bundle.manifest.stream is not None:
        return subjects.load_streams(
            bundle, precisions=options.precisions, threads=options.threads, backends=options.backends,
            usual=options.usual, people=options.people,
        )  # fmt: skip
    if options.people > 1:
        raise UsageError("--people is for bundles that answer at every frame", where=path, got=options.people)
    loaded = []
    for backend in subjects.chosen_backends(options.backends):
        for subject in subjects.subjects_of(path, backend, precisions=options.precisions, kind=kind):
            own = Settings() if options.usual else subject.settings
            for count in options.threads or (own.threads,):
                loaded.append(subjects.load_one(subject, backend, replace(own, threads=count)))
    return loaded


def _record(graph: subjects.Loaded, latency: Latency, options: BenchOptions) -> BenchRecord:
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
