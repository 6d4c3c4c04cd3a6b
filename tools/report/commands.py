"""Which command gives a figure again: what stands under every table and drawing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

Report = Mapping[str, Any]


def commands(report: Report) -> dict[str, list[str]]:
    """Commands by the section that they measure again; a store that was not named is STORE."""
    bundles = [bundle["path"] for bundle in report["bundles"]]
    runs = [run["path"] for run in report["runs"]]
    stores = list(report["stores"]) or ["STORE"]
    precisions = [(row["artefact"], row["precision"]) for row in report["rows"] if row["kind"] == "bundle"]
    evaluations = [
        *(line("eval", path, "--store", stores[0], "--precision", precision)
          for path, precision in dict.fromkeys(precisions)),
        *(line("eval", path, "--store", stores[0]) for path in runs),
    ]  # fmt: skip
    asked = report["asked"] or {"threads": 1, "gestures": 0}
    return {
        "decision": [report["command"] or line("report", *bundles, *runs, "--out", "report.html")],
        "accuracy": evaluations,
        "latency": [line("bench", *bundles, "--threads", str(asked["threads"]))] if bundles else [],
        "comparisons": [
            line("compare", row["one"], row["other"], "--store", stores[0]) for row in report["comparisons"]
        ],
        "streams": [
            line("eval", row["artefact"], "--store", stores[0], "--stream", "--precision", row["precision"],
                 "--gestures", str(asked["gestures"])) for row in report["streams"]
        ],
        "live": list(dict.fromkeys(row["command"] for row in report["live"] if row["command"])),
        "training": [
            line("train", "--store", stores[0], "--recipe", f"{path}/recipe.yaml", "--out", "AGAIN") for path in runs
        ],
        "verify": ["last-edge verify REPORT.json"],
    }  # fmt: skip


def line(name: str, *words: str) -> str:
    """A command as one types it."""
    return shlex.join(["last-edge", name, *words])
