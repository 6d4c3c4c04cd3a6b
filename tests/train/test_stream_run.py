"""A streaming model from a store of recordings to figures of its events, resumed like any run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.clips import ClipStore, writing_store
from last_edge.errors import InputError, UsageError
from last_edge.export.bundles.span_rules import evaluate_spans, fit_rules, held_out, read_rules, write_rules
from last_edge.models.last_lite_stream import LastLiteStream
from last_edge.skeleton import Annotation, SkeletonClip, get_layout
from last_edge.tasks.registry import STREAMING, task_of
from last_edge.tools.cli import main
from last_edge.train.checkpoint import load_checkpoint
from last_edge.train.recipe import load_recipe
from last_edge.train.request import Request
from last_edge.train.run import run_training

LAYOUT, MODEL = get_layout("leap20"), "last_lite_stream_nano"
SMALL = (
    "input.frames=150", "training.epochs=24", "training.batch_size=2", "training.lr=0.01", "training.warmup_epochs=1",
    "model.stem=8", "model.graph=8", "model.width=16", "model.hidden=16", "model.dilations=[1,2,4]",
    "validation.subjects=p2", "validation.every=10",
)  # fmt: skip


def recording(number: int) -> SkeletonClip:
    """A hand that drifts, and at times spreads (`open`) or runs to the right (`swipe`)."""
    random = np.random.default_rng(number)
    hand = np.random.default_rng(0).normal(size=(20, 3)) * 0.04
    hand[0] = 0.0
    points = np.tile(hand, (500, 1, 1)) + np.cumsum(random.normal(size=(500, 1, 3)) * 0.002, axis=0)
    spans = []
    for first in range(60, 430, 90):
        label = ("open", "swipe")[int(random.integers(2))]
        own, frames = slice(first, first + 40), np.sin(np.linspace(0, np.pi, 40))[:, None, None]
        points[own] += (
            hand * frames if label == "open" else np.array([0.6, 0, 0]) * np.linspace(0, 1, 40)[:, None, None]
        )
        spans.append(Annotation(label, first, first + 39))
    return SkeletonClip.from_points(
        points[None], layout=LAYOUT, fps=50, units="metres", source_id=f"r{number}", subject=f"p{number % 3}",
        split="test" if number >= 9 else "train", spans=tuple(spans),
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / "store"
    with writing_store(path, layout=LAYOUT, units="metres", labels=("open", "swipe", "never")) as writer:
        for number in range(11):
            writer.add(recording(number))
    return path


def request(store: Path, out: Path, *more: str) -> Request:
    sets = (f"model.name={MODEL}", *SMALL, *more)
    return Request(load_recipe("shrec21_stream", overrides=sets), store, out)


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    final = run_training(request(store, out))
    assert final["val"]["n"] == 3 * 250 and final["test"]["n"] == 2 * 250
    return out


def test_the_run_has_learnt(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    validated = [row for row in rows if "val_loss" in row]
    assert [row["epoch"] for row in validated] == [10, 20, 24], "every tenth, and the last"
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"] and validated[-1]["val_loss"] < validated[0]["val_loss"]
    assert {"frame_loss", "onset_loss", "train_frames", "val_top1"} <= set(rows[-1])
    checkpoint = load_checkpoint(run)
    assert isinstance(checkpoint.model, LastLiteStream) and checkpoint.labels == (
        "open",
        "swipe",
        "never",
        "background",
    )


def test_rules_are_found_on_what_was_held_out_and_events_are_scored(run: Path, store: Path) -> None:
    opened = ClipStore.open(store)
    with pytest.raises(InputError, match="fit-spans"):
        read_rules(run)
    found = fit_rules(run, opened)
    assert found.recordings == 3
    write_rules(run, found)
    score = evaluate_spans(run, opened, split="test")
    assert score["gestures"] == 10 and score["recordings"] == 2
    assert score["detection"] >= 0.8 and score["jaccard"] >= 0.7
    assert score["delay_frames"] < 50 and set(score["by_class"]) <= {"open", "swipe"}


def test_the_command_prints_every_figure(run: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit-spans", str(run), "--store", str(store), "--json"]) == 0
    capsys.readouterr()
    assert main(["eval", str(run), "--store", str(store), "--stream", "--json"]) == 0
    score = json.loads(capsys.readouterr().out)
    names = ("detection", "false_positives", "false_positives_and_misclassified", "jaccard", "false_per_hour")
    assert all(isinstance(score[name], float) for name in names)
    assert main(["eval", str(run), "--store", str(store), "--stream", "--gestures", "3"]) == 2


def test_a_run_that_held_nothing_out_names_the_way(run: Path, store: Path, tmp_path: Path) -> None:
    whole = request(store, tmp_path / "all", "validation.subjects=[]", "validation.fraction=0", "training.epochs=1")
    run_training(whole)
    with pytest.raises(UsageError, match="held nothing out"):
        fit_rules(tmp_path / "all", ClipStore.open(store))
    assert fit_rules(tmp_path / "all", ClipStore.open(store), others=[run]).recordings == 3
    opened = ClipStore.open(store)
    person = str(opened.index.subject[held_out(run, opened)[0]])
    assert fit_rules(run, opened, subjects=[person]).recordings <= 3
    with pytest.raises(UsageError, match="nobody of this name was held out"):
        fit_rules(run, opened, subjects=["nobody"])


def test_a_stopped_run_goes_on_as_if_nothing_was(store: Path, tmp_path: Path) -> None:
    def final(out: Path, *stops: int) -> dict[str, Any]:
        for stop in stops:
            calls: list[int] = []

            def report(row: dict[str, float], epochs: int, calls: list[int] = calls, stop: int = stop) -> None:
                calls.append(1)
                if len(calls) == stop:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                run_training(request(store, out, "training.epochs=3"), report=report)
        return run_training(request(store, out, "training.epochs=3"))

    assert final(tmp_path / "one") == final(tmp_path / "two", 1)


@pytest.mark.parametrize(
    "change",
    [
        "training.mixup=0.2", "training.loss=focal", "training.class_weights=balanced", "training.label_share=0.5",
        "training.augment_on=device", "augment.crop=0.8", "augment.warp=0.3", "augment.noise_bone=0.01",
    ],
)  # fmt: skip
def test_what_only_clips_know_is_refused(store: Path, tmp_path: Path, change: str) -> None:
    with pytest.raises(UsageError, match="clips"):
        run_training(request(store, tmp_path / "run", change))


def test_stores_without_recordings_are_refused(toy_store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no long recordings"):
        run_training(request(toy_store, tmp_path / "run", "validation.subjects=[]"))


def test_a_streamers_task_is_streaming() -> None:
    assert task_of(MODEL) is STREAMING
