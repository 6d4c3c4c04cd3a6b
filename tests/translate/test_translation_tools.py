"""What else the command line does with a translator: it is timed, reported, and sent on by what wants classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.runtime.translator import Translator
from last_edge.tools.bench.subjects import SUB_WORDS, sentence
from last_edge.tools.cli import main

QUICK = ["--repeats", "1", "--calls", "2"]


def test_bench_times_encoder_step_and_sentence(
    quantised: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench.json"
    assert main(["bench", str(quantised), *QUICK, "--out", str(out), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in rows] == [
        f"{part}.{precision}{ending}"
        for precision in ("fp32", "int8")
        for part, ending in (("encoder", ".onnx"), ("sentence", ""), ("decoder", ".onnx"))
    ]
    sizes = {row["file"]: row["size_bytes"] for row in rows}
    assert sizes["sentence.int8"] == sizes["encoder.int8.onnx"] + sizes["decoder.int8.onnx"]
    assert all(row["p50_ms"] > 0 and row["faster_than_fp32"] for row in rows) and json.loads(out.read_text()) == rows
    assert all(row["faster_than_fp32"] == 1 for row in rows if row["precision"] == "fp32")
    assert main(["bench", str(quantised), *QUICK, "--precision", "int8"]) == 0
    shown = capsys.readouterr().out
    assert "decoder" in shown and "sentence" in shown
    assert main(["bench", str(quantised), *QUICK, "--backend", "openvino"]) in (2, 5)


def test_the_timed_sentence_is_as_long_for_every_file(quantised: Path) -> None:
    points = Bundle.open(quantised).golden.points[:1]
    for precision in ("fp32", "int8"):
        (said,) = sentence(Translator.open(quantised, precision=precision), points)
        assert len(said) == SUB_WORDS


def test_a_report_shows_sentences_of_runs_and_bundles(
    quantised: Path, run: Path, sentences: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    assert main(["report", str(quantised), str(run), "--store", str(sentences), "--out", str(page), "--quiet"]) == 0
    told = json.loads(page.with_suffix(".json").read_text())
    final = json.loads((run / "final.json").read_text())["test"]
    rows = {row["precision"]: row for row in told["rows"]}
    assert rows.keys() == {"torch fp32", "fp32", "int8"}
    assert rows["torch fp32"]["bleu4"] == rows["fp32"]["bleu4"] == final["bleu4"]
    assert rows["int8"]["p50_ms"] > 0 and rows["int8"]["accuracy_from"] == "measured now"
    assert told["bundles"][0]["gain"].keys() == {"smaller", "bleu4_points", "faster"}
    assert "BLEU-4" in page.with_suffix(".md").read_text() and f"BLEU-4 {final['bleu4']}" in page.read_text()


@pytest.mark.parametrize(
    "command",
    [
        ["run", "BUNDLE", "--source", "synthetic", "--no-window"],
        ["bench", "tune", "BUNDLE"],
        ["parity", "BUNDLE"],
        ["engine", "BUNDLE", "--dry-run"],
    ],
)
def test_what_wants_classes_says_where_to_go(
    bundle: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main([str(bundle) if part == "BUNDLE" else part for part in command]) == 3
    assert "gives sentences" in (error := capsys.readouterr().err) and "last-edge translate" in error
