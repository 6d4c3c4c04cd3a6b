"""A report shows what files say, nothing else, in three forms with the same rows, and needs no network."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from last_edge.errors import InputError, UsageError
from last_edge.timing import Schedule
from last_edge.tools.bench.record import BenchRecord, load_records, save_records
from last_edge.tools.bench.run import bench_bundles
from last_edge.tools.bench.subjects import BenchOptions
from last_edge.tools.cli.report import report
from last_edge.tools.report.collect import collect, with_latency
from last_edge.tools.report.plots import confusion_matrix, timeline
from last_edge.tools.report.render import NOT_MEASURED, int8_gain, interval, make_report, streamed, to_html, to_markdown
from last_edge.tools.report.rows import Budget, Row, choose, make_rows

METRICS = {
    "fp32": {"top1": 93.5, "top3": 99.0, "n": 840, "split": "test"},
    "int8": {"top1": 93.1, "top3": 98.9, "n": 840, "split": "test"},
}
QUICK = BenchOptions(memory=False, schedule=Schedule(rounds=1, calls=2, warm_up=0))
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Balanced(HTMLParser):
    """Reads a page and complains about tags that do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def folder(make_run: Any, make_bundle: Any, tmp_path: Path) -> Path:
    """A teacher and a bundle with its bench records."""
    make_run("teacher", val_subjects=["anna"])
    bundle = make_bundle(metrics=METRICS, parity=({"pair": "torch:fp32", "on": "golden", "n": 2, "max_abs": 1e-6},))
    save_records(bench_bundles([bundle], QUICK), tmp_path / "bench.json")
    return tmp_path


def test_finds_runs_and_bundles_below_a_folder(folder: Path) -> None:
    found = collect([folder])
    assert [run.path.name for run in found.runs] == ["teacher"]
    assert [bundle.path.name for bundle in found.bundles] == ["bundle"]
    assert len(found.bench) == 2


def test_the_same_artefact_named_twice_counts_once(folder: Path) -> None:
    assert len(collect([folder, folder / "teacher", folder / "bundle"]).runs) == 1


def test_rows_hold_the_figures_of_the_files(folder: Path) -> None:
    run, fp32, int8 = make_rows(collect([folder]))
    assert (run.top1, run.n, run.params, run.size_bytes, run.p50_ms) == (75.0, 4, 82847, 1000, None)
    assert (fp32.precision, fp32.top1, fp32.accuracy_from) == ("fp32", 93.5, "manifest.json")
    records = {row["precision"]: row for row in json.loads((folder / "bench.json").read_text())}
    assert int8.p99_ms == records["int8"]["p99_ms"]
    assert int8.sha256 == records["int8"]["artefact_sha256"]


def test_bench_record_of_other_bytes_is_not_used(folder: Path) -> None:
    path = folder / "bench.json"
    path.write_text(re.sub(r'"artefact_sha256": "\w+"', '"artefact_sha256": "0"', path.read_text()))
    assert [row.p50_ms for row in make_rows(collect([folder]))] == [None, None, None]


def test_what_is_not_measured_says_so(make_bundle: Any) -> None:
    found = collect([make_bundle()])
    text = to_markdown(make_report(found, title="t", environment={}))
    fp32 = next(line for line in text.splitlines() if "| fp32 |" in line)
    assert fp32.count(NOT_MEASURED) == 10


def test_interval_of_a_share() -> None:
    """The example of Newcombe 1998: 81 of 263."""
    row = Row("bundle", "bundle", "", "int8", None, None)
    assert interval(dataclasses.replace(row, top1=round(100 * 81 / 263, 2), n=263)) == "25.5–36.6"
    assert interval(dataclasses.replace(row, top1=100.0, n=10)).endswith("–100.0")


def test_latency_is_measured_only_where_it_is_missing(folder: Path, make_bundle: Any, monkeypatch: Any) -> None:
    make_bundle("other", thresholds={"accept": 0.5})
    asked: list[Path] = []
    monkeypatch.setattr(
        "last_edge.tools.report.collect.bench_bundles", lambda paths, options: asked.extend(paths) or []
    )
    with_latency(collect([folder]))
    assert asked == [], "the other bundle holds the same graphs, which have records"
    (folder / "bench.json").unlink()
    with_latency(collect([folder / "other"]))
    assert [path.name for path in asked] == ["other"]


def test_a_gain_never_mixes_two_measurements(folder: Path, make_bundle: Any, monkeypatch: Any) -> None:
    """One precision without a record: the bundle is timed whole, and so is the one that shares its graphs."""
    make_bundle("other", thresholds={"accept": 0.5})
    records = [row for row in load_records(folder / "bench.json", BenchRecord) if row.precision == "fp32"]
    save_records([dataclasses.replace(records[0], p50_ms=1000.0)], folder / "bench.json")
    asked: list[str] = []

    def bench(paths: list[Path], _: BenchOptions) -> list[BenchRecord]:
        asked.extend(path.name for path in paths)
        return bench_bundles(paths, QUICK)

    monkeypatch.setattr("last_edge.tools.report.collect.bench_bundles", bench)
    found = with_latency(collect([folder]))
    assert sorted(asked) == ["bundle", "other"]
    assert [len(rows) for rows in found.bench.values()] == [1, 1]
    assert all(row.p50_ms < 1000.0 for rows in found.bench.values() for row in rows)


def test_unfinished_run_is_shown_as_it_is(make_run: Any) -> None:
    found = collect([make_run(finished=False)])
    content = make_report(found, title="t", environment={})
    assert content["runs"][0]["finished"] is False
    assert content["rows"][0]["top1"] is None
    assert "unfinished" in to_html(content, found)


def test_gain_compares_only_like_with_like(folder: Path, make_bundle: Any) -> None:
    found = collect([folder / "bundle"])
    assert int8_gain(found.bundles[0], found)["top1_points"] == -0.4  # type: ignore[index]
    metrics = {**METRICS, "int8": {**METRICS["int8"], "n": 100}}
    other = collect([make_bundle("fewer", metrics=metrics)])
    assert "top1_points" not in int8_gain(other.bundles[0], other)  # type: ignore[operator]


def test_page_is_whole_and_reaches_for_nothing_outside(folder: Path) -> None:
    found = collect([folder])
    html = to_html(make_report(found, title="Hands & <signs>", environment={"processor": "one"}), found)
    page = Balanced()
    page.feed(html)
    assert page.open == []
    assert {"svg", "table", "style"} <= page.seen
    assert not {"script", "link", "img", "iframe"} & page.seen
    assert not re.search(r"(https?:)?//[a-z]", html), "no address of any kind"
    assert "Hands &amp; &lt;signs&gt;" in html
    assert "prefers-color-scheme: dark" in html
    assert "currentColor" in html and "#010203" not in html
    ids = re.findall(r'\bid="([^"]+)"', html)
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html))
    assert {one or other for one, other in used} <= set(ids)


def test_command_writes_three_forms_with_the_same_rows(folder: Path, capsys: Any) -> None:
    report([folder], out=folder / "report.html")
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    content = json.loads((folder / "report.json").read_text())
    markdown = (folder / "report.md").read_text()
    html = (folder / "report.html").read_text()
    assert len(content["rows"]) == 3
    for row in content["rows"]:
        assert f"{row['top1']:.2f}" in markdown
        assert f"{row['top1']:.2f}" in html
    with pytest.raises(UsageError, match="will not overwrite"):
        report([folder], out=folder / "report.html")


def test_nothing_to_report_names_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="last-edge train"):
        collect([tmp_path])


def test_changed_bundle_is_refused(folder: Path) -> None:
    graph = folder / "bundle" / "model.int8.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(InputError, match="bytes have changed"):
        collect([folder])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("final.json", "[]"),
        ("final.json", "{"),
        ("final.json", '{"params": "many"}'),
        ("final.json", '{"test": {"top1": 50.0}}'),
        ("final.json", '{"test": 3}'),
        ("metrics.jsonl", '{"epoch": 1, "val_loss": "low"}'),
        ("metrics.jsonl", "{}\n"),
        ("metrics.jsonl", "\xff"),
        ("run.json", "3"),
    ],
)
def test_damaged_run_is_named(make_run: Any, name: str, content: str) -> None:
    run = make_run()
    (run / name).write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=name):
        collect([run])


def test_archive_is_a_bundle_too(make_bundle: Any) -> None:
    rows = make_rows(collect([make_bundle("small.last", metrics=METRICS)]))
    assert [(row.precision, row.top1) for row in rows] == [("fp32", 93.5), ("int8", 93.1)]


def test_labels_of_any_script_are_text_and_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    svg = confusion_matrix([[1, 0], [0, 1]], ["谢谢", "안녕하세요"], name="x")
    assert svg.count(">谢谢</text>") == svg.count(">안녕하세요</text>") == 2
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def exported(top1: float, p50_ms: float | None, size: int, **more: Any) -> Row:
    return Row("bundle", "bundle", "", "int8", None, size, top1=top1, p50_ms=p50_ms, n=100, **{"task": "t"} | more)


def test_the_best_file_within_the_budget_is_recommended() -> None:
    rows = [
        exported(95.0, 5.0, 300_000), exported(93.0, 0.9, 100_000), exported(92.0, 0.5, 90_000),
        exported(94.0, None, 50_000), exported(99.0, 0.1, 10_000),
    ]  # fmt: skip
    rows[4] = dataclasses.replace(rows[4], kind="run")
    assert [choice["recommended"] for choice in choose(rows, Budget())] == [1]
    assert choose(rows, Budget(1.0, 150.0))[0]["recommended"] == 2, "unknown latency keeps no budget"
    assert choose(rows, Budget(0.5, None))[0]["recommended"] == 3
    assert choose(rows, Budget(0.1, None))[0]["recommended"] is None
    front = choose(rows, Budget())[0]["front"]
    assert front == {"latency": [3, 2, 1], "size": [4, 1]}


def test_files_of_two_tasks_are_never_held_against_each_other() -> None:
    choices = choose([exported(95.0, 1.0, 10, task="a"), exported(40.0, 2.0, 20, task="b")], Budget())
    assert [(choice["task"], choice["recommended"]) for choice in choices] == [("a", 1), ("b", 2)]


def test_a_bundle_inside_of_its_run_is_found(make_run: Any, make_bundle: Any, tmp_path: Path) -> None:
    run = make_run("own")
    make_bundle("own/bundle", metrics=METRICS)
    assert [bundle.path for bundle in collect([tmp_path]).bundles] == [run / "bundle"]


def test_tables_and_drawings_scroll_by_keyboard_and_nothing_needs_a_script(folder: Path) -> None:
    found = collect([folder])
    html = to_html(make_report(found, title="t", environment={}), found)
    wide = re.findall(r'<div class="scroll[^"]*"[^>]*>', html)
    assert wide and all('tabindex="0"' in tag for tag in wide)
    assert html.count("<table>") <= len(wide) and "<script" not in html


def test_names_in_a_timeline_end_before_the_next_one_begins() -> None:
    names = ("claw-cheek-close-palm_up", "nod", "claw-cheek-open-palm_up")
    spans = [
        {"label": name, "start_s": begin, "end_s": begin + 1} for name, begin in zip(names, (2, 4, 6), strict=True)
    ]
    drawn = timeline({"truth": spans, "events": [], "posteriors": {}, "moments_s": [7.0]}, name="x")
    assert drawn is not None
    said = re.findall(r">([^<>]+)</text>", drawn)
    assert "claw-c…" in said and "nod" in said and names[2] in said and names[0] not in said


def test_a_delay_of_nothing_found_is_a_dash() -> None:
    assert [streamed(value) for value in (None, 0.0, 12.5)] == ["–", "0.0", "12.5"]
