"""How soon a device answers: importing the runtime, and from the start of `last-edge run` to its first prediction."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from last_edge.errors import InputError
from last_edge.runtime.recognise.model import Precision
from last_edge.runtime.recogniser import Recogniser

IMPORT = (
    "import time; began = time.perf_counter(), time.process_time(); import last_edge.runtime.pipeline.run; "
    "print(time.perf_counter() - began[0], time.process_time() - began[1])"
)


class Taken(NamedTuple):
    """Seconds by the clock, and of them those that the process ran, which other processes do not lengthen so much."""

    clock: float
    processor: float


@dataclass(frozen=True)
class StartRecord:
    """Milliseconds, median and slowest of some fresh processes.

    import_ms: of `last_edge.runtime.pipeline.run` and all that it imports. label_ms: from the start of the process
    `last-edge run` on synthetic points to its first prediction. first_label: its label. The medians of the processor's
    time beside them say what a machine would take that does nothing else. load: busy processes before and after.
    """

    bundle: str
    precision: str
    rounds: int
    import_ms: float
    import_slowest_ms: float
    import_processor_ms: float
    label_ms: float
    label_slowest_ms: float
    label_processor_ms: float
    first_label: str
    load: tuple[float, float]
    schema_version: int = 1


def bench_start(bundle: Path, *, precision: Precision | None = None, rounds: int = 5) -> StartRecord:
    """Start fresh processes in turns; raises what `run` raises for a bundle that it cannot load."""
    model = Recogniser.open(bundle, precision=precision)
    before = os.getloadavg()[0]
    imports, labels, label = list[Taken](), list[Taken](), ""
    for _ in range(rounds):
        imports.append(import_seconds())
        taken, label = first_label(bundle, model.precision)
        labels.append(taken)
    import_ms, import_slowest, import_processor = _figures(imports)
    label_ms, label_slowest, label_processor = _figures(labels)
    return StartRecord(
        bundle=model.name, precision=model.precision, rounds=rounds, import_ms=import_ms,
        import_slowest_ms=import_slowest, import_processor_ms=import_processor, label_ms=label_ms,
        label_slowest_ms=label_slowest, label_processor_ms=label_processor, first_label=label,
        load=(round(before, 2), round(os.getloadavg()[0], 2)),
    )  # fmt: skip


def import_seconds() -> Taken:
    """What a fresh process takes to import the runtime."""
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    return Taken(*map(float, done.stdout.split()))


def first_label(bundle: Path, precision: str) -> tuple[Taken, str]:
    """What a process takes from its start to its first prediction, and the label of that."""
    command = [sys.executable, "-m", "last_edge.tools.cli", "run", str(bundle), "--source", "synthetic", "--no-window"]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        [*command, "--precision", precision, "--quiet", "--events", "/dev/stdout"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if (record := json.loads(line))["type"] == "frame" and record["prediction"] is not None:
                seconds = time.perf_counter() - began
                process.kill()
                process.wait()
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                return Taken(seconds, used), str(record["prediction"]["top"][0]["label"])
            if record["type"] == "summary":
                break
    raise InputError("the bundle predicts nothing on synthetic points", where=bundle)


def _figures(taken: Sequence[Taken]) -> tuple[float, float, float]:
    """Milliseconds: median and slowest by the clock, median of the processor's."""
    clock, processor = zip(*taken, strict=True)
    median, slowest = statistics.median(clock), max(clock)
    return round(1000 * median, 1), round(1000 * slowest, 1), round(1000 * statistics.median(processor), 1)
