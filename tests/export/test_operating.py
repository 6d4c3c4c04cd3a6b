"""Curves of false events: a record is what the runtime does, the best points are kept, and a command puts them in."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.bundle import rewrite_bundle
from last_edge.clips import ClipStore, writing_store
from last_edge.clips.compose import Span, compose
from last_edge.clips.windows import labelled_clips
from last_edge.data.background import background_clips
from last_edge.errors import InputError, UsageError
from last_edge.runtime.recognise.decoding import DecodingOptions
from last_edge.runtime.recognise.stream import DECODERS, Decode, RecogniseOptions
from last_edge.runtime.recogniser import Recogniser
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tools.cli import main
from last_edge.tools.operating import (
    Measure,
    Take,
    answers_of,
    best_of,
    curves_of,
    events_of,
    fit_thresholds,
    judging_clips,
    played,
    silent_takes,
    stated,
    takes_of,
)

HAND = get_layout("mediapipe_hand21")
MakeBundle = Callable[..., Path]


@pytest.fixture
def takes(tmp_path: Path) -> list[Take]:
    """A person who swipes left and right, and a hand that does nothing."""
    with writing_store(tmp_path / "store", layout=HAND, units="image01") as writer:
        for number in range(8):
            label = ("left", "right")[number % 2]
            points = np.zeros((1, 30, 21, 3), np.float32)
            points[..., 9, 1] = 0.1
            points[..., 0] = np.linspace(0, 0.5 if label == "right" else -0.5, 30)[:, None]
            writer.add(SkeletonClip.from_points(
                points, layout=HAND, fps=30, units="image01", label=label, subject="a", source_id=str(number),
                split="train",
            ))  # fmt: skip
    store = ClipStore.open(tmp_path / "store")
    streams = compose(store, labelled_clips(store, "train"))
    silent = silent_takes(background_clips(HAND, count=7), bodies=1)
    return [*(Take(stream.points, stream.times, stream.spans) for stream in streams), *silent]


@pytest.mark.parametrize("decode", ["sliding", "segments", "spans"])
def test_a_record_gives_the_events_of_the_runtime(make_bundle: MakeBundle, takes: list[Take], decode: Decode) -> None:
    model = Recogniser.open(make_bundle())
    options = RecogniseOptions(decode=decode, reject=False, decoding=DecodingOptions(threshold=0.7))
    live = model.stream(options=options)
    moments = enumerate(takes[0].times.tolist())
    events = [event for frame, at in moments for event in live.push(takes[0].points[:, frame], at)]
    expected = [dataclasses.replace(event, x=None, y=None) for event in events]  # a record has no places
    answers = answers_of(played(model, takes[0], decode), model.rejection.temperature)
    decoder = DECODERS[decode](model.labels, DecodingOptions(threshold=0.7))
    assert expected
    assert events_of(answers, decoder, decode, least=-np.inf) == expected
    assert events_of(answers, decoder, decode, least=np.inf) == []


def test_the_curve_rises_and_states_one_point(make_bundle: MakeBundle, takes: list[Take]) -> None:
    model = Recogniser.open(make_bundle())
    records = [played(model, take, "segments") for take in takes]
    how = {"labels": model.labels, "temperature": model.rejection.temperature}
    curves, counted = curves_of({"segments": records}, **how)
    rows = curves["segments"]
    assert counted["stream_gestures"] == 8
    assert sum(row.get("stated", 0) for row in rows) == 1
    for one, other in zip(rows, rows[1:], strict=False):
        assert one["false_per_hour"] < other["false_per_hour"] and one["detection"] < other["detection"]
    assert curves_of({"segments": records[1:]}, **how) == ({}, {})


def test_what_another_beats_on_both_counts_is_left_out_and_the_stated_point_finds_enough() -> None:
    pairs = [(50, 1), (40, 2), (85, 5), (85, 6), (93, 20), (99, 90)]
    rows = best_of([{"threshold": 0.5, "energy": 0.0, "detection": d, "false_per_hour": f} for d, f in pairs])
    assert [(row["detection"], row["false_per_hour"]) for row in rows] == [(50, 1), (85, 5), (93, 20), (99, 90)]
    assert [row["false_per_hour"] for row in stated(rows) if row.get("stated")] == [20]
    assert [row["false_per_hour"] for row in stated(rows[:2]) if row.get("stated")] == [5], "95% of the best is 80.75"
    dear = best_of(
        [{"threshold": 0.5, "energy": 0.0, "detection": d, "false_per_hour": f} for d, f in ((60, 110), (80, 500))]
    )
    assert [row["false_per_hour"] for row in stated(dear) if row.get("stated")] == [110], "two a minute at most"
    poor = best_of(
        [{"threshold": 0.5, "energy": 0.0, "detection": d, "false_per_hour": f} for d, f in ((30, 110), (80, 500))]
    )
    assert [row["false_per_hour"] for row in stated(poor) if row.get("stated")] == [500], (
        "but half of the best at least"
    )


def test_what_held_out_people_do_in_the_background_is_no_gesture(tmp_path: Path, make_bundle: MakeBundle) -> None:
    with writing_store(tmp_path / "store", layout=HAND, units="image01") as writer:
        for number, label in enumerate(("left", "background", "left", "background")):
            points = np.random.default_rng(number).random((1, 20, 21, 3), np.float32)
            writer.add(SkeletonClip.from_points(
                points, layout=HAND, fps=30, units="image01", label=label, subject="a", source_id=str(number),
                split="train",
            ))  # fmt: skip
    store = ClipStore.open(tmp_path / "store")
    manifest = Bundle.open(make_bundle()).manifest
    (take,) = takes_of(manifest, store, labelled_clips(store, "train"), Measure(background=0))
    labels = [span.label for span in take.spans]
    assert labels.count("left") == 2 and "background" not in labels and labels.count("") >= 2


def test_a_silent_take_ends_at_rest_and_has_no_gesture() -> None:
    clip = background_clips(HAND, count=2)[1]
    (take,) = silent_takes([clip], bodies=2)
    assert take.points.shape == (2, clip.frames + 60, 21, 3)
    assert np.isnan(take.points[1]).all()
    assert take.spans == ()
    assert all(isinstance(span, Span) for span in take.spans)


@pytest.mark.slow
def test_the_command_fits_by_people_that_the_run_held_out(
    finished: Path, exported: Path, store: ClipStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(exported, bundle)
    words = [
        "thresholds",
        str(bundle),
        "--store",
        str(store.path),
        "--run",
        str(finished),
        "--gestures",
        "3",
        "--json",
        "--quiet",
    ]
    assert main([*words, "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["clips_of_held_out_people"] == 6
    assert Bundle.open(bundle).manifest.operating == {}
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    manifest = Bundle.open(bundle).manifest
    assert set(told["operating"]) == {"segments", "sliding", "spans"}
    assert manifest.thresholds["stream_gestures"] == 3
    assert {"temperature", "energy"} <= set(manifest.thresholds)
    assert main(["thresholds", str(bundle)]) == 0


def test_named_people_judge_in_the_place_of_a_run(exported: Path, store: ClipStore, finished: Path) -> None:
    bundle = Bundle.open(exported)
    clips = judging_clips(bundle, store, people=("1",))
    assert set(store.index.subject[clips]) == {"1"} and set(store.index.split[clips]) == {"train"}
    assert clips.tolist() == judging_clips(bundle, store, finished).tolist()
    with pytest.raises(InputError, match="nobody of this name trains") as caught:
        judging_clips(bundle, store, people=("1", "zoe"))
    assert caught.value.got == "zoe"
    for run, people in ((None, ()), (finished, ("1",))):
        with pytest.raises(UsageError, match="whose clips judge"):
            judging_clips(bundle, store, run, people)


def test_a_run_of_another_kind_or_that_held_nobody_out_is_refused(
    finished: Path, exported: Path, store: ClipStore, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(exported, bundle)
    opened = Bundle.open(bundle)
    rewrite_bundle(opened, dataclasses.replace(opened.manifest, labels=tuple(reversed(opened.manifest.labels))))
    with pytest.raises(InputError, match="another labels than the bundle|labels"):
        fit_thresholds(bundle, store, run=finished, measure=Measure(background=0))
    (finished / "final.json").write_text('{"val_subjects": []}')
    with pytest.raises(InputError, match="held nobody"):
        fit_thresholds(shutil.copytree(exported, tmp_path / "again"), store, run=finished)
