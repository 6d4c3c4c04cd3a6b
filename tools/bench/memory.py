"""Peak memory of a fresh process that loads one graph and runs it; `python -m last_edge.tools.bench.memory FOLDER`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from last_edge.inputs.features import Inputs
from last_edge.runtime.backends import BACKENDS
from last_edge.timing import peak_process_mb

CALLS = 3


def peak_memory(graph: bytes, inputs: Inputs, *, backend: str, threads: int) -> float | None:
    """MB a process needs to import the runtime, load `graph` and run one clip's inputs; None where unknown."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.onnx").write_bytes(graph)
        np.savez(Path(folder, "inputs.npz"), allow_pickle=False, **inputs)
        command = [sys.executable, "-m", "last_edge.tools.bench.memory", folder, backend, str(threads)]
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
