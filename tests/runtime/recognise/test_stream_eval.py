"""Composed streams through the recogniser, and `last-edge eval --stream` as a user types it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from last_edge.clips import ClipStore, writing_store
from last_edge.clips.compose import ComposeOptions, compose
from last_edge.clips.windows import labelled_clips
from last_edge.errors import InputError, UsageError
from last_edge.runtime.recognise.stream import RecogniseOptions
from last_edge.runtime.recognise.stream_eval import evaluate_streams
from last_edge.runtime.recogniser import Recogniser
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools.cli import eval as command
from last_edge.tools.register import register

HAND = get_layout("mediapipe_hand21")
LABELS = ("left", "middle", "right")
MakeBundle = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Twelve clips of a hand that goes left or right for a second, by two people."""
    with writing_store(tmp_path / "store", layout=HAND, units="image01", labels=LABELS) as writer:
        for number in range(12):
            label = ("left", "right")[number // 2 % 2]
            points = np.zeros((1, 30, 21, 3), np.float32)
            points[..., 9, 1] = 0.1
            points[..., 0] = np.linspace(0, 0.5 if label == "right" else -0.5, 30)[:, None]
            writer.add(
                SkeletonClip.from_points(
                    points, layout=HAND, fps=30, units="image01", label=label, subject=str(number % 2), split="test"
                )
            )
    return tmp_path / "store"


def call(*arguments: str) -> Result:
    app = typer.Typer()
    register(app, {"eval": command.eval})
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_a_model_that_sees_every_gesture_finds_all_of_them(make_bundle: MakeBundle, store: Path) -> None:
    opened, model = ClipStore.open(store), Recogniser.open(make_bundle())
    streams = compose(opened, labelled_clips(opened, "test"), options=ComposeOptions(made=0.0, idle_s=(5.0, 6.0)))
    score = evaluate_streams(model, streams, layout=HAND, units="image01", options=RecogniseOptions(window_s=1.0))
    assert score["gestures"] == score["found"] == 12 and score["detection_rate"] == 100.0
    assert set(score["by_subject"]) == {"0", "1"}
    assert sum(one["gestures"] for one in score["by_subject"].values()) == 12


def test_a_silenced_class_is_never_answered(make_bundle: MakeBundle, store: Path) -> None:
    opened, model = ClipStore.open(store), Recogniser.open(make_bundle())
    options = ComposeOptions(made=0.0, idle_s=(5.0, 6.0), unknown=("right",))
    streams = compose(opened, labelled_clips(opened, "test"), options=options)
    how = {"layout": HAND, "units": "image01", "options": RecogniseOptions(window_s=1.0)}
    score = evaluate_streams(model, streams, unknown=("right",), **how)  # type: ignore[arg-type]
    assert score["gestures"] == score["unknown"] == 6
    told = evaluate_streams(model, streams, **how)  # type: ignore[arg-type]
    assert told["in_unknown"] >= 6 > score["in_unknown"]
    with pytest.raises(InputError, match="no such class"):
        evaluate_streams(model, streams, unknown=("dance",), **how)  # type: ignore[arg-type]


def test_the_command_prints_one_object_the_same_for_the_same_seed(make_bundle: MakeBundle, store: Path) -> None:
    words = (str(make_bundle()), "--store", str(store), "--stream", "--gestures", "6", "--json")
    first, again, other = (json.loads(call(*words, "--seed", seed).stdout) for seed in "001")
    assert first == again != other
    assert first["gestures"] == 6 and first["decode"] == "sliding" and first["precision"] == "fp32"
    segments = json.loads(call(*words, "--decode", "segments").stdout)
    assert segments["decode"] == "segments" and segments["delay_p50_s"] > first["delay_p50_s"]


def test_labels_of_a_store_are_matched_by_name(make_bundle: MakeBundle, store: Path, tmp_path: Path) -> None:
    opened = ClipStore.open(store)
    for folder, names in (("turned", {}), ("strange", {"left": "westward"})):
        labels = tuple(names.get(label, label) for label in ("right", "left"))
        with writing_store(tmp_path / folder, layout=HAND, units="image01", labels=labels) as writer:
            for number in range(len(opened)):
                clip = opened.clip(number)
                writer.add(dataclasses.replace(clip, label=names.get(str(clip.label), clip.label)))
    words = (str(make_bundle()), "--stream", "--gestures", "6", "--json", "--store")
    score, whole = (json.loads(call(*words, str(path)).stdout) for path in (tmp_path / "turned", store))
    assert score["absent"] == whole["absent"] == ["middle"]
    assert score["detection_rate"] == whole["detection_rate"]
    with pytest.raises(InputError, match="westward"):
        call(*words, str(tmp_path / "strange"))


def test_the_command_prints_a_table_with_everybody(make_bundle: MakeBundle, store: Path) -> None:
    shown = call(str(make_bundle()), "--store", str(store), "--stream", "--gestures", "6").stdout
    assert "detection_rate" in shown and "delay_p95_s" in shown and "all" in shown


def test_less_rest_answers_sooner_and_only_those_asked_for_are_played(make_bundle: MakeBundle, store: Path) -> None:
    words = (str(make_bundle()), "--store", str(store), "--stream", "--decode", "segments", "--json", "--subject", "1")
    usual, hasty = (json.loads(call(*words, *more).stdout) for more in ((), ("--rest-seconds", "0.5")))
    assert hasty["delay_p50_s"] == pytest.approx(usual["delay_p50_s"] - 1.0, abs=0.1)
    assert list(usual["by_subject"]) == usual["subjects"] == ["1"] and usual["gestures"] == 6
    with pytest.raises(UsageError, match="nobody of this name"):
        call(*words, "--subject", "7")
