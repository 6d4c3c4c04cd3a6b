"""How soon a device answers: importing the runtime, and from the start of `last-edge run` to its first prediction."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from last_edge.errors import InputError
from last_edge.runtime.recognise.model import Precision
from last_edge.runtime.recogniser import Recogniser

IMPORT = (
    "import time; began = time.perf_counter(); import last_edge.runtime.pipeline.run; "
    "print(time.perf_counter() - began)"
)


@dataclass(frozen=True)
class StartRecord:
    """Milliseconds, median and slowest of some fresh processes.

    import_ms: of `last_edge.runtime.pipeline.run` and all that it imports. label_ms: from the start of the process
    `last-edge run` on synthetic points to its first prediction. first_label: its label. load: busy processes before and
    after.
    """

    bundle: str
    precision: str
    rounds: int
    import_ms: float
    import_slowest_ms: float
    label_ms: float
    label_slowest_ms: float
    first_label: str
    load: tuple[float, float]
    schema_version: int = 1


def bench_start(bundle: Path, *, precision: Precision | None = None, rounds: int = 5) -> StartRecord:
    """Start fresh processes in turns; raises what `run` raises for a bundle that it cannot load."""
    model = Recogniser.open(bundle, precision=precision)
    before = os.getloadavg()[0]
    imports, labels, label = [], [], ""
    for _ in range(rounds):
        imports.append(import_seconds())
        seconds, label = first_label(bundle, model.precision)
        labels.append(seconds)
    (import_ms, import_slowest), (label_ms, label_slowest) = _figures(imports), _figures(labels)
    return StartRecord(
        bundle=model.name, precision=model.precision, rounds=rounds, import_ms=import_ms,
        import_slowest_ms=import_slowest, label_ms=label_ms, label_slowest_ms=label_slowest, first_label=label,
        load=(round(before, 2), round(os.getloadavg()[0], 2)),
    )  # fmt: skip


def import_seconds() -> float:
    """Seconds a fresh process takes to import the runtime."""
    return float(subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout)


def first_label(bundle: Path, precision: str) -> tuple[float, str]:
    """Seconds from the start of a process to its first prediction, and the label of that."""
    command = [sys.executable, "-m", "last_edge.tools.cli", "run", str(bundle), "--source", "synthetic", "--no-window"]
    began = time.perf_counter()
    with subprocess.Popen(
        [*command, "--precision", precision, "--quiet", "--events", "/dev/stdout"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if (record := json.loads(line))["type"] == "frame" and record["prediction"] is not None:
                seconds = time.perf_counter() - began
                process.kill()
                return seconds, str(record["prediction"]["top"][0]["label"])
            if record["type"] == "summary":
                break
    raise InputError("the bundle predicts nothing on synthetic points", where=bundle)


def _figures(seconds: Sequence[float]) -> tuple[float, float]:
    return round(1000 * statistics.median(seconds), 1), round(1000 * max(seconds), 1)
