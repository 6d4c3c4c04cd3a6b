"""A stream bundle in the commands that take any bundle: tuned, compared, reported, proved; takes do not teach it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from last_edge.bundle import Bundle
from last_edge.bundle.samples import SAMPLES, Samples
from last_edge.bundle.zoo import find_bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import held_still
from last_edge.clips.writer import writing_store
from last_edge.errors import EXIT_INPUT, EXIT_USAGE, InputError, UsageError
from last_edge.export.bundles.samples import add_samples, typical_spans
from last_edge.export.proof.evaluate import evaluate_bundle
from last_edge.export.proof.span_events import at_threshold, evaluate_bundle_spans, rules_of
from last_edge.export.targets.tensorrt import plan_engine
from last_edge.models.last_lite_stream import LastLiteStream
from last_edge.runtime.recognise.model import open_stepper
from last_edge.runtime.web.describe import sample_clips
from last_edge.skeleton import Annotation, SkeletonClip
from last_edge.timing import Schedule
from last_edge.tools import cli
from last_edge.tools.bench.run import bench_bundles
from last_edge.tools.bench.subjects import BenchOptions
from last_edge.tools.bench.tune import TuneOptions, tune_bundle
from last_edge.tools.experiments.compare import answered, compared
from last_edge.tools.experiments.observed import observed
from last_edge.tools.operating import judging_clips
from last_edge.tools.report.verify import verify_report
from last_edge.tools.teach.basis import base_for
from last_edge.train.checkpoint import read_bundled
from last_edge.train.evaluate import evaluate_run
from tests.export.proof.test_without_torch import bare
from tests.streaming.conftest import GESTURES, SPEC, hand


def test_its_settings_are_tuned_by_the_frame(bundle_path: Path) -> None:
    options = TuneOptions(threads=(1,), schedule=Schedule(rounds=1, calls=2, warm_up=0))
    (found,) = tune_bundle(bundle_path, options)
    assert found.precision == "fp32" and len(found.tried) == 6 and found.p50_ms > 0


def test_run_says_how_often_early_answers_are_wrong(
    ruled_path: Path, store: ClipStore, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "--limit", "300", "--no-window", "--early", "--source"]
    assert cli.main([*command, f"store:{store.path}", str(ruled_path)]) == 0
    assert "25.0% of such answers were wrong" in " ".join(capsys.readouterr().err.split())
    assert cli.main([*command, "synthetic", "last_lite_nano_shrec14"]) == EXIT_USAGE
    assert "--early is for bundles that answer at every frame" in capsys.readouterr().err


def test_a_threshold_asks_for_more_than_the_rules_and_never_for_less(ruled_path: Path, store: ClipStore) -> None:
    bundle = Bundle.open(ruled_path)
    rules = replace(rules_of(bundle), sure=0.5)
    assert [at_threshold(rules, least).sure for least in (None, 0.3, 0.7)] == [0.5, 0.5, 0.7]
    assert evaluate_bundle_spans(bundle, store, threshold=1.0)["detection"] == 0.0
    assert evaluate_bundle_spans(bundle, store)["detection"] > 0.0


def test_a_device_without_torch_scores_the_events_too(
    ruled_path: Path, store: ClipStore, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["eval", str(ruled_path), "--store", str(store.path), "--stream", "--json"]
    done = bare(*arguments)
    assert done.returncode == 0, done.stderr
    assert cli.main(arguments) == 0
    assert json.loads(done.stdout) == json.loads(capsys.readouterr().out)


def test_several_people_are_timed_as_a_batch(bundle_path: Path) -> None:
    options = BenchOptions(memory=False, people=3, schedule=Schedule(rounds=1, calls=2, warm_up=0))
    (row,) = bench_bundles([bundle_path], options)
    assert row.people == 3 and row.p50_ms > 0
    with pytest.raises(UsageError, match="--people is for bundles that answer at every frame"):
        bench_bundles([find_bundle("last_lite_nano_shrec14")], options)


def test_comparing_pairs_the_gestures_of_recordings(ruled_path: Path, store: ClipStore) -> None:
    one = answered(str(ruled_path), store)
    score = evaluate_bundle_spans(Bundle.open(ruled_path), store)
    assert len(one.hits) == score["gestures"] == 9 and set(one.labels) == set(GESTURES)
    found = compared(one, answered(f"{ruled_path}:fp32", store))
    assert found["found"] == [pytest.approx(100 * score["detection"], abs=0.01)] * 2 and found["difference"] == 0
    assert found["false_per_hour"] == [score["false_per_hour"]] * 2 and found["n"] == 9


def test_a_bundle_of_clips_is_not_compared_with_it(ruled_path: Path, store: ClipStore) -> None:
    one = answered(str(ruled_path), store)
    clips = type(one)("clips", one.hits, one.labels, one.subjects)
    with pytest.raises(UsageError, match="one answers clips, the other recordings"):
        compared(one, clips)


def test_typical_motions_are_those_annotated_each_as_long_as_it_lasts(
    bundle_path: Path, store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shutil.copytree(bundle_path, tmp_path / "bundle")
    assert cli.main(["run", str(path), "--source", "samples", "--no-window"]) == EXIT_INPUT
    assert "last-edge samples" in capsys.readouterr().err
    assert SAMPLES in add_samples(path, store).files
    samples = Samples.from_bytes(Bundle.open(path).read(SAMPLES), where=path)
    assert samples.labels == GESTURES and samples.fps == 25.0
    assert samples.points.shape == (3, 1, 41, 20, 3)  # 1.62 s
    assert cli.main(["run", str(path), "--source", "samples", "--no-window"]) == 0
    assert [clip.points.shape[1] for clip in sample_clips(Bundle.open(path))] == [25 + 41 + 50] * 3, "rest to rest"
    parts = [store.points(int(clip))[:, 100:181] for clip in store.recordings("train")]
    spread = np.nanmean([np.nanstd(part) for part in parts])
    assert np.nanstd(samples.points[0]) < spread, "a mean of people moves less than each"


def test_a_class_of_one_person_has_no_typical_motion(store: ClipStore) -> None:
    index = replace(store.index, subject=np.array(["a"] * len(store)))
    with pytest.raises(InputError, match="no class that two people show"):
        typical_spans(replace(store, index=index), SPEC, GESTURES, rate=25.0)


def test_its_weights_go_along_and_start_another_training(
    run: Path, model: LastLiteStream, store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(run), "--out", str(tmp_path / "bundle"), "--weights"]) == 0
    again = read_bundled(tmp_path / "bundle").model.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())
    command = ["train", "--model", "last_lite_stream_nano", "--recipe", "shrec21_stream", "--store", str(store.path)]
    command += ["--init", str(tmp_path / "bundle"), "--epochs", "1", "--batch-size", "2", "--set", "input.frames=100"]
    capsys.readouterr()
    assert cli.main([*command, "--out", str(tmp_path / "run"), "--json"]) == 0
    started = json.loads(capsys.readouterr().out)["init"]
    assert {name for name in model.state_dict() if name not in started["loaded"]} == {"head.weight", "head.bias"}
    of_the_zoo = [*command, "--init", "last_lite_stream_nano_shrec21", "--out", str(tmp_path / "named"), "--json"]
    assert cli.main(of_the_zoo) == 0
    assert json.loads(capsys.readouterr().out)["init"]["loaded"] == started["loaded"]
    refused = ["--set", "model.name=last_lite_stream_small"]
    assert cli.main([*command, *refused, "--out", str(tmp_path / "other")]) == EXIT_INPUT
    assert "the trunk is of another model" in capsys.readouterr().err


def test_takes_do_not_teach_it(bundle_path: Path) -> None:
    with pytest.raises(InputError, match="answers at every frame") as refusal:
        base_for(Bundle.open(bundle_path).manifest.input.layout, str(bundle_path))
    assert "--base none" in refusal.value.render()


def test_what_needs_clips_or_no_state_is_refused_by_name(bundle_path: Path, store: ClipStore) -> None:
    with pytest.raises(UsageError, match="an engine has no state"):
        plan_engine(bundle_path, flavour="tensorrt")
    with pytest.raises(UsageError, match="rules for spans instead"):
        judging_clips(Bundle.open(bundle_path), store, people=("train-0",))


def test_a_run_and_its_bundle_have_the_same_frames_right(run: Path, bundle: Bundle, store: ClipStore) -> None:
    assert evaluate_run(run, store) == evaluate_bundle(bundle, store)


def test_eval_without_stream_tells_of_frames(run: Path, store: ClipStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", str(run), "--store", str(store.path)]) == 0
    assert "of 1800 frames right" in capsys.readouterr().out


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """Ten cut clips of two people in turns, 40 frames at 50 a second."""
    path = tmp_path_factory.mktemp("clips") / "store"
    with writing_store(path, layout=SPEC.layout, units="metres", labels=GESTURES, about={}) as writer:
        for number in range(10):
            about = {
                "label": GESTURES[number % 3],
                "subject": "ab"[number % 2],
                "split": "test",
                "source_id": str(number),
            }
            points = hand(40, seed=number, gone=False)[None]
            writer.add(SkeletonClip.from_points(points, layout=SPEC.layout, fps=50, units="metres", **about))
    return ClipStore.open(path)


def test_accuracy_over_the_share_seen_ends_with_the_last_frames_answer(
    run: Path, bundle_path: Path, bundle: Bundle, clips: ClipStore
) -> None:
    found = observed(bundle_path, clips)
    assert list(found["observed"]) == [str(share) for share in range(10, 101, 10)] and found["n"] == 10
    assert observed(run, clips) == found
    stepper, right = open_stepper(bundle, bundle.graph("fp32")), []
    for clip in range(10):
        points = held_still(clips.points(clip)[0][::2], 2)  # 25 frames a second, answers two frames late
        logits, _ = stepper.sequences(points[None])
        right.append(int(logits[0, -1, :3].argmax()) == int(clips.index.label[clip]))
    assert found["observed"]["100"] == 100 * np.mean(right)


def test_accuracy_over_the_share_seen_of_some_people_alone(
    bundle_path: Path, clips: ClipStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each person's five clips; together they are everybody's."""
    command = ["eval", str(bundle_path), "--store", str(clips.path), "--observed", "--json"]
    curves = []
    for people in (["--subject", "a"], ["--subject", "b"], []):
        assert cli.main([*command, *people]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["n"] == (5 if people else 10) and told["subjects"] == people[1:]
        curves.append(np.array(list(told["observed"].values())))
    np.testing.assert_allclose((curves[0] + curves[1]) / 2, curves[2])
    assert cli.main([*command, "--subject", "c"]) == EXIT_USAGE
    assert "nobody of this name in the split" in capsys.readouterr().err


def test_labels_never_learnt_may_be_played_as_movements_of_no_meaning(
    ruled_path: Path, store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then they are background, and an event in their time is false."""
    path = tmp_path / "store"
    labels = ("tap", "knock", "nothing")
    with writing_store(path, layout=store.layout, units="metres", labels=labels, about={}) as writer:
        points = store.points(int(store.recordings()[0]))
        spans = (Annotation("nothing", 10, 90), Annotation("tap", 100, 180), Annotation("knock", 300, 380))
        writer.add(SkeletonClip.from_points(
            points, layout=store.layout, fps=50, units="metres", spans=spans, subject="a", split="test", source_id="1",
        ))  # fmt: skip
    command = ["eval", str(ruled_path), "--store", str(path), "--stream", "--json"]
    assert cli.main(command) == EXIT_INPUT
    assert "--unknown '*'" in capsys.readouterr().err
    for unknown in ("knock", "*"):
        assert cli.main([*command, "--unknown", unknown]) == 0
        assert json.loads(capsys.readouterr().out)["by_class"].keys() == {"tap"}
    assert cli.main([*command, "--unknown", "knok"]) == EXIT_USAGE


@pytest.fixture(scope="module")
def report(ruled_path: Path, store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "report.html"
    command = ["report", str(ruled_path), "--store", str(store.path), "--no-bench", "--out", str(out), "--quiet"]
    assert cli.main(command) == 0
    return out


def said(report: Path) -> Any:
    return json.loads(report.with_suffix(".json").read_text())


def test_a_report_holds_its_events_and_a_timeline(report: Path, ruled_path: Path, store: ClipStore) -> None:
    (row,) = said(report)["streams"]
    score, shown = evaluate_bundle_spans(Bundle.open(ruled_path), store), row["timeline"]
    assert {name: score[name] for name in row["figures"]} == row["figures"]
    assert [span["label"] for span in shown["truth"]] == list(GESTURES) and shown["truth"][0]["start_s"] == 2.0
    assert shown["events"] and all(span["start_s"] <= span["end_s"] for span in shown["events"])
    assert len(shown["moments_s"]) == len(shown["posteriors"]["tap"]) == 300 and "background" not in shown["posteriors"]


def test_the_timeline_is_drawn_truth_above_answers_below(report: Path) -> None:
    page = report.read_text()
    drawing = page[page.index('id="streams"') :].partition("<svg")[2].partition("</svg>")[0]
    assert "<script" not in page and drawing.index(">done<") and drawing.index(">answered<")
    assert all(f">{label}<" in drawing for label in GESTURES)
    assert "what was done above, what was answered below" in page


def test_the_report_is_proved(report: Path) -> None:
    checks = verify_report(report.with_suffix(".json"))
    assert all(check.holds for check in checks), [check for check in checks if not check.holds]


def test_a_network_of_clips_is_scored_on_the_same_recordings(
    store: ClipStore, make_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Converted as `run` would; what it was never taught means nothing where that is asked for."""
    bundle = make_bundle(layout="leap20", units="metres")
    command = ["eval", str(bundle), "--store", str(store.path), "--stream", "--json"]
    assert cli.main(command) == EXIT_INPUT
    assert "--unknown '*'" in capsys.readouterr().err
    assert cli.main([*command, "--unknown", "*"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["gestures"] == 0 and found["minutes"] == 0.6 and found["unknown_classes"] == ["*"]
    assert found["false_per_hour"] is not None and list(found["by_subject"]) == [f"recording-{n}" for n in (6, 7, 8)]
    assert cli.main([*command, "--gestures", "3"]) == EXIT_USAGE
