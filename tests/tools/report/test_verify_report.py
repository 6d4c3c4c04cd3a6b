"""A doctored report, split, manifest, run or bundle: whatever is changed, `last-edge verify` finds and names it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.bundle import Bundle, write_bundle
from last_edge.bundle.manifest import CARD
from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.errors import EXIT_GATE, EXIT_INPUT
from last_edge.export.int8.plan import Plan
from last_edge.export.int8.quantize_bundle import quantize_bundle
from last_edge.skeleton import SkeletonClip
from last_edge.timing import Schedule
from last_edge.tools import cli
from last_edge.tools.bench.record import save_records
from last_edge.tools.bench.run import bench_bundles
from last_edge.tools.bench.subjects import BenchOptions
from last_edge.tools.report.verify import verify_data, verify_report

QUICK = BenchOptions(memory=False, schedule=Schedule(rounds=1, calls=2, warm_up=0))
Doctor = Callable[[], None]
REPORT, RUN, STORE, BUNDLE = Path("report.json"), Path("run"), Path("store"), Path("run/bundle")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory, toy_store: Path) -> Path:
    """A folder with store, run, its bundle, bench records and report; every path in it is relative."""
    folder = tmp_path_factory.mktemp("honest")
    shutil.copytree(toy_store, folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train = ["train", "--model", "last_lite_nano", "--store", "store", "--out", "run", "--recipe", "demo"]
        train += ["--set", "training.epochs=2", "--set", "input.frames=16", "--threads", "1", "--quiet"]
        assert cli.main(train) == 0
        assert cli.main(["export", "run", "--out", "run/bundle", "--store", "store", "--quiet"]) == 0
        quantize_bundle(BUNDLE, ClipStore.open(STORE), Plan(count=12))
        save_records(bench_bundles([BUNDLE], QUICK), Path("run/bench.json"))
        report = ["report", "run", "--store", "store", "--streams", "2", "--out", "report.html", "--quiet"]
        assert cli.main([*report, "--budget-ms", "1000"]) == 0
    return folder


@pytest.fixture
def here(honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of it without the page, which takes long to draw, and we in it."""
    shutil.copytree(honest, tmp_path / "copy", ignore=shutil.ignore_patterns("report.html"))
    monkeypatch.chdir(tmp_path / "copy")


def failed() -> str:
    """Names and details of the checks that do not hold."""
    return "\n".join(f"{check.name}: {check.detail}" for check in verify_report(REPORT) if not check.holds)


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def rehash(*paths: Path) -> None:
    """A liar who also mends the hashes that the report has of what was changed."""

    def mend(report: Any) -> None:
        for path in paths:
            report["files"][str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()

    edit(REPORT, mend)


def test_an_honest_report_holds(honest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(honest)
    assert failed() == ""
    said = json.loads(REPORT.read_text())
    assert [row["artefact"] for row in said["rows"]] == ["run", "run/bundle", "run/bundle"], "the bundle inside a run"
    assert said["choices"][0]["recommended"] in (2, 3) and len(said["comparisons"]) == 1
    assert said["streams"][0]["figures"]["gestures"] == 2 and said["streams"][0]["timeline"]["truth"]
    assert cli.main(["verify", "report.json", "--quiet"]) == 0


def in_report(*keys: str | int, value: Any) -> Doctor:
    def doctor() -> None:
        def change(content: Any) -> None:
            for key in keys[:-1]:
                content = content[key]
            content[keys[-1]] = value(content[keys[-1]]) if callable(value) else value

        edit(REPORT, change)

    return doctor


def resealed(**changes: Any) -> Doctor:
    """A manifest that lies, with card, hashes and seal in order, and its hash in the report."""

    def doctor() -> None:
        bundle = Bundle.open(BUNDLE)
        files = {name: bundle.read(name) for name in bundle.manifest.files if name != CARD}
        made = {name: change(getattr(bundle.manifest, name)) for name, change in changes.items()}
        shutil.rmtree(BUNDLE)
        write_bundle(BUNDLE, dataclasses.replace(bundle.manifest, **made), files=files)
        rehash(BUNDLE / "manifest.json")

    return doctor


def better(metrics: Any) -> Any:
    return {**metrics, "int8": {**metrics["int8"], "top1": metrics["int8"]["top1"] + 5.0}}


def run_says_more() -> None:
    def change(final: Any) -> None:
        final["test"]["top1"] = min(final["test"]["top1"] + 8.0, 100.5)

    edit(RUN / "final.json", change)
    rehash(RUN / "final.json")


def other_checkpoint() -> None:
    name = json.loads((RUN / "run.json").read_text())["best"]
    lines = (RUN / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) | {"val_top1": 99.0 if f"epoch-{index:04d}" != name else 1.0}
            for index, line in enumerate(lines, 1)]  # fmt: skip
    (RUN / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rehash(RUN / "metrics.jsonl")


def chosen_on_test() -> None:
    lines = (RUN / "metrics.jsonl").read_text().splitlines()
    rows = [json.dumps(json.loads(line) | {"test_top1": 50.0}) for line in lines]
    (RUN / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    rehash(RUN / "metrics.jsonl")


def validated_on_test() -> None:
    edit(RUN / "final.json", lambda final: final.update(val_subjects=["5"]))
    rehash(RUN / "final.json")


def faster_record() -> None:
    edit(RUN / "bench.json", lambda rows: rows[0].update(p50_ms=rows[0]["p50_ms"] / 2))


def flipped_weight() -> None:
    path = next((RUN / "checkpoints").rglob("model.safetensors"))
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x40
    path.write_bytes(bytes(content))


def changed_graph() -> None:
    path = BUNDLE / "model.int8.onnx"
    path.write_bytes(path.read_bytes() + b"\0")


def page_says_more() -> None:
    page = REPORT.with_suffix(".md")
    page.write_text(page.read_text().replace("no difference shown", "a difference is shown"))


def html_says_more() -> None:
    REPORT.with_suffix(".html").write_text("<p>100 %")


def moved_to_test() -> None:
    """A training person's clips count as test, in a store that is whole in itself."""
    rewrite(lambda clip: dataclasses.replace(clip, split="test" if clip.source_id == "clip002" else clip.split))


DOCTORED: dict[str, tuple[Doctor, str]] = {
    "an accuracy": (in_report("rows", 1, "top1", value=lambda was: was + 0.2), "rows[1].top1"),
    "a latency": (in_report("rows", 2, "p50_ms", value=lambda was: was * 0.9), "rows[2].p50_ms"),
    "a size": (in_report("rows", 2, "size_bytes", value=1000), "rows[2].size_bytes"),
    "a confusion": (in_report("bundles", 0, "measured", "int8", "confusion", 0, value=[12, 0, 0]), "confusion"),
    "a p": (in_report("comparisons", 0, "p", value=0.001), "comparisons[0].p"),
    "a verdict": (in_report("comparisons", 0, "verdict", value="a difference is shown"), "verdict"),
    "a recommendation": (in_report("choices", 0, "recommended", value=1), "recommended"),
    "an epoch": (in_report("runs", 0, "history", 0, "loss", value=0.01), "history[0].loss"),
    "false events": (in_report("streams", 0, "figures", "false_per_hour", value=0.25), "false_per_hour"),
    "a row made up": (in_report("rows", value=lambda rows: [*rows, rows[-1]]), "rows has 4 entries"),
    "a store": (in_report("stores", "store", "sha256", value="0" * 64), "data store"),
    "the Markdown": (page_says_more, "report.md"),
    "the HTML": (html_says_more, "report.html"),
    "the run's figures": (run_says_more, "run figures"),
    "the run's choice": (other_checkpoint, "run choice"),
    "test figures every epoch": (chosen_on_test, "run epochs"),
    "validation on test": (validated_on_test, "run validation"),
    "a bench record": (faster_record, "run/bench.json"),
    "a weight": (flipped_weight, "model.safetensors"),
    "a graph": (changed_graph, "artefacts"),
    "a manifest": (resealed(metrics=better), "run/bundle int8 top1"),
    "test clips in calibration": (
        resealed(calibration_ids=lambda ids: (*ids[:-1], "clip004")), "run/bundle calibration: not in the train"),
}  # fmt: skip


@pytest.mark.parametrize("lie", DOCTORED)
def test_a_lie_is_found(here: None, lie: str) -> None:
    doctor, told = DOCTORED[lie]
    doctor()
    assert told in failed()


def test_the_command_ends_with_the_gates_code(here: None, capsys: pytest.CaptureFixture[str]) -> None:
    DOCTORED["an accuracy"][0]()
    assert cli.main(["verify", "report.json", "--quiet"]) == EXIT_GATE
    assert "rows[1].top1" in capsys.readouterr().err


def rewrite(change: Callable[[SkeletonClip], SkeletonClip], *more: Callable[[SkeletonClip], SkeletonClip]) -> None:
    """The store anew, its clips changed; more: of the first test clip, further ones."""
    old = ClipStore.open(STORE)
    clips = [old.clip(index) for index in range(len(old))]
    first = next(clip for clip in clips if clip.split == "train")
    changed = [*map(change, clips), *(make(first) for make in more)]
    with writing_store(
        Path("doctored"), layout=old.layout, units=old.units, labels=old.labels, about=old.about
    ) as writer:
        for clip in changed:
            writer.add(clip)
    shutil.rmtree(STORE)
    Path("doctored").rename(STORE)


def as_test(**changes: Any) -> Callable[[SkeletonClip], SkeletonClip]:
    def make(clip: SkeletonClip) -> SkeletonClip:
        new = {"split": "test", "subject": "6", "source_id": "new"} | changes
        if "coords" in new:
            new["coords"] = new["coords"](clip.coords)
        return dataclasses.replace(clip, **new)

    return make


def turned(points: np.ndarray) -> np.ndarray:
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    return np.asarray(1.3 * points @ turn.T + 2, np.float32)


SPLITS: dict[str, tuple[Doctor, str]] = {
    "a person in two splits": (moved_to_test, "store people"),
    "a clip in two splits": (lambda: rewrite(lambda clip: clip, as_test()), "store equal clips"),
    "a variant in another split": (
        lambda: rewrite(lambda clip: clip, as_test(source_id="clip000#v1", coords=lambda points: points[:, ::-1])),
        "store variants"),
    "a near duplicate": (
        lambda: rewrite(lambda clip: clip, as_test(coords=lambda points: points * np.float32(1.001))), "store leaks"),
    "an augmented copy": (lambda: rewrite(lambda clip: clip, as_test(coords=turned)), "store copies"),
}  # fmt: skip


@pytest.mark.parametrize("leak", SPLITS)
def test_a_leak_between_splits_is_found(here: None, leak: str) -> None:
    doctor, told = SPLITS[leak]
    doctor()
    found = {check.name for check in verify_data(ClipStore.open(STORE)) if not check.holds}
    assert told in found
    report = failed()
    assert told in report and "data store" in report, "and the report was made of another store"


@pytest.mark.parametrize("part", ["files", "stores", "timed", "environment", "title"])
def test_a_report_of_odd_types_is_refused(here: None, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    edit(REPORT, lambda said: said.update({part: None}))
    assert cli.main(["verify", str(REPORT), "--quiet"]) == EXIT_INPUT
    assert f"report.json › {part}" in capsys.readouterr().err


def test_rows_of_odd_types_are_told_beside_pages_that_are_not_drawn_from_them(here: None) -> None:
    edit(REPORT, lambda said: said.update(rows=[None], choices=3))
    assert "report.md: not held against the JSON" in failed()


def test_a_report_that_does_not_tell_its_sources_is_refused(here: None, capsys: pytest.CaptureFixture[str]) -> None:
    edit(REPORT, lambda said: said.update(asked={}))
    assert cli.main(["verify", "report.json", "--quiet"]) == EXIT_GATE
    REPORT.write_text("[]")
    assert cli.main(["verify", "report.json", "--quiet"]) == 3
