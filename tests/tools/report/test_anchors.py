"""The front page states what the shipped bundles' manifests state; the page of results holds published figures too."""

from __future__ import annotations

from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.zoo import zoo
from last_edge.errors import InputError
from last_edge.tools.report.anchors import BENCHMARKS, page, stated

README = Path(__file__).parents[3] / "README.md"


def test_every_figure_of_the_front_page_is_that_of_a_manifest() -> None:
    for name, figures in stated(README.read_text()).items():
        metrics = Bundle.open(zoo()[name]).manifest.metrics
        share = "frames" if "frames" in metrics["fp32"] else "top1"
        assert figures == {precision: metrics[precision][share] for precision in figures}, name


def test_a_flattered_front_page_is_found() -> None:
    text = "| x | FP32 | INT8 |\n|---|---|---|\n| a: `one` | 91.0 | 90.5 |\n"
    assert stated(text) == {"one": {"fp32": 91.0, "int8": 90.5}}
    with pytest.raises(InputError, match="no table"):
        stated("# Nothing\n")


def test_the_page_sets_published_figures_beside_ours_best_first() -> None:
    text = page()
    for benchmark in BENCHMARKS:
        part = text.split(f"## {benchmark.title}")[1].split("\n## ")[0]
        rows = [row.split("|") for row in part.splitlines() if row.startswith("| ") and "---" not in row][1:]
        shares = [0.0 if row[3].strip() == "not trained" else float(row[3]) for row in rows]
        assert shares == sorted(shares, reverse=True) and any("**" in row[1] for row in rows)
        assert all(row[5].strip() for row in rows), "each has a source"


def test_streams_stand_beside_the_contests_best() -> None:
    rows = [row.split("|") for row in page().split("## SHREC 2021")[1].splitlines() if row.startswith("| ")][2:]
    assert {len(row) for row in rows} == {8} and all(row[6].strip() for row in rows)
    metrics = Bundle.open(zoo()["last_lite_stream_nano_shrec21"]).manifest.metrics
    ours = [[float(cell) for cell in row[2:5]] for row in rows if "**" in row[1]]
    names = ("detection", "false_positives_and_misclassified", "jaccard_counts")
    assert ours == [[metrics[precision][name] for name in names] for precision in metrics]
