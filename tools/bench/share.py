"""What a board's owner sends in: figures of a benchmark with what decides them, and nothing that names a person."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from last_edge import __version__, machine, records
from last_edge.files import write_text
from last_edge.tools.bench.record import BenchRecord

PACKAGES = ("numpy", "onnxruntime", "ai-edge-litert", "mediapipe", "opencv-python", "opencv-python-headless")
LEFT_OUT = ("artefact", "platform")
"""Of each row: a path may hold a user's name, and the platform's text a host's."""


def shared(rows: Sequence[BenchRecord]) -> dict[str, Any]:
    """Machine, versions and figures as one object of JSON."""
    versions = {"last-edge": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
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
