"""`from last_edge import load` and what it gives: whole clips, sources, and the caller's own frames."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import last_edge
from last_edge import Event, RecogniseOptions, Recogniser, load
from last_edge.bundle import Bundle
from last_edge.clips import ClipStore, writing_store
from last_edge.errors import InputError, UsageError
from last_edge.inputs import fit_window
from last_edge.runtime.pipeline import feed
from last_edge.runtime.pipeline.run import run
from last_edge.runtime.sources.points import SyntheticSource
from last_edge.skeleton import SkeletonClip, get_layout

MakeBundle = Callable[..., Path]
HAND = get_layout("mediapipe_hand21")

CHEAP = """
import sys
sys.modules["torch"] = None
from last_edge import load
heavy = [name for name in ("numpy", "onnxruntime", "cv2", "last_edge.runtime") if name in sys.modules]
assert not heavy, heavy
import last_edge
for name in last_edge.__all__:
    getattr(last_edge, name)
model = load(sys.argv[1])
assert model.predict([[[0.1 * frame, 0.5, 0.0]] * 21 for frame in range(8)], fps=30).best.label == "right"
"""


def motion(way: float, *, frames: int = 40) -> np.ndarray:
    """A hand that moves so far to the right, by which the tiny graph tells its classes apart."""
    points = np.zeros((frames, 21, 3), np.float32)
    points[..., 0] = np.linspace(0, way, frames)[:, None]
    return points


@pytest.fixture
def model(make_bundle: MakeBundle) -> Recogniser:
    return Recogniser.open(make_bundle())


def test_importing_is_cheap_and_nothing_ever_loads_torch(make_bundle: MakeBundle) -> None:
    command = [sys.executable, "-c", CHEAP, str(make_bundle())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there_and_no_other() -> None:
    assert last_edge.ClipStore is ClipStore and set(last_edge.__all__) <= set(dir(last_edge))
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        last_edge.lode  # noqa: B018


def test_a_name_a_folder_and_an_archive_load_alike() -> None:
    named, by_path = load("last_lite_nano_shrec14"), load(Path("zoo") / "last_lite_nano_shrec14", precision="fp32")
    assert isinstance(named, Recogniser) and isinstance(by_path, Recogniser)
    assert (named.precision, by_path.precision) == ("int8", "fp32")
    assert named.layout.name == "shrec22" and named.units == "metres" and len(named.labels) == 14


def test_a_whole_clip_is_predicted_as_the_graph_answers_its_window() -> None:
    model, random = Recogniser.open("last_lite_nano_shrec14", precision="fp32"), np.random.default_rng(0)
    points = np.cumsum(random.normal(0, 0.01, (50, 22, 3)), axis=0).astype(np.float32)
    points[10, 3] = np.nan
    logits = model.backend(fit_window(points[None], 64))[0]
    found = model.predict(points, fps=30, top=14)
    assert [guess.label for guess in found.top] == [model.labels[index] for index in np.argsort(-logits)]
    assert sum(guess.probability for guess in found.top) == pytest.approx(1)
    assert found.start_s == 0.0 and found.end_s == pytest.approx(49 / 30)
    assert model.predict(points[None], fps=30, top=14).top == found.top


def test_points_of_another_layout_are_converted_as_run_does() -> None:
    model = Recogniser.open("last_lite_nano_shrec14")
    points = np.random.default_rng(0).random((30, 21, 3), np.float32)
    assert model.predict(points, layout=HAND, units="image01").best.label in model.labels
    with pytest.raises(UsageError):
        model.predict(np.zeros((30, 25, 3), np.float32), layout=get_layout("ntu25"), units="metres")


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((8, 22, 3)), "points do not fit the layout"),
        (np.zeros((0, 21, 3)), "points do not fit the layout"),
        (np.zeros((21, 3)), "points do not fit the layout"),
        (np.zeros((1, 1, 8, 21, 3)), "points do not fit the layout"),
        (np.full((8, 21, 3), np.inf), "infinite points"),
        (np.zeros((8, 21, 2)), "too few axes"),
    ],
)
def test_wrong_points_are_refused_with_what_was_expected(model: Recogniser, points: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.predict(points, fps=30)


def test_a_rate_must_be_one(model: Recogniser) -> None:
    for fps in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="frame rate"):
            model.predict(motion(0.9), fps=fps)


def test_a_clip_without_any_point_has_no_answer(model: Recogniser) -> None:
    with pytest.raises(InputError, match="shows nothing") as refused:
        model.predict(np.full((8, 21, 3), np.nan))
    assert refused.value.got == "8 frames without any"
    seen = motion(0.9)
    seen[1:-1] = np.nan
    assert model.predict(seen).best.label == "right"


def test_of_more_people_than_the_bundle_takes_one_is_followed(model: Recogniser) -> None:
    """The tiny graph tells `left` from `right` by the way; two go opposite ways and change places in the array."""
    random = np.random.default_rng(0)
    small, large = (size * random.normal(0, 1, (21, 3)) for size in (0.03, 0.06))
    to_right = motion(0.4) + np.float32([0.0, 0.5, 0]) + small.astype(np.float32)
    to_left = motion(-0.4) + np.float32([1.5, 0.5, 0]) + large.astype(np.float32)
    people = np.stack([to_right, to_left])
    people[:, 1::2] = people[::-1, 1::2]
    expected = {"largest": "left", "left": "right", "right": "left"}
    for person, label in expected.items():
        assert model.predict(people, person=person).best.label == label
        stream = model.stream(person=person)
        events = [event.label for row in range(40) for event in stream.push(people[:, row], row / 30)]
        assert events == [label]


@pytest.mark.parametrize("how", [{"pace": "slow"}, {"limit": 0}])
def test_a_source_that_cannot_be_played_so_is_refused(model: Recogniser, how: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="pace fast or real"):
        next(iter(model.watch("synthetic", **how)))


def test_a_stream_takes_one_frame_after_the_other(model: Recogniser) -> None:
    with model.stream() as stream:
        events = [event for frame, points in enumerate(motion(0.9)) for event in stream.push(points, frame / 30)]
        assert [event.label for event in events] == ["right"] and stream.current is not None
        with pytest.raises(UsageError, match="order of time"):
            stream.push(motion(0.9)[0], 0.5)
        with pytest.raises(UsageError, match="order of time"):
            stream.push(motion(0.9)[0], float("nan"))
        with pytest.raises(InputError, match="do not fit the layout"):
            stream.push(motion(0.9)[None], 9.0)
    assert stream.current is None


def test_watching_gives_the_events_of_run_and_frames_on_request(
    model: Recogniser, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    with writing_store(tmp_path / "store", layout=HAND, units="image01", labels=("left", "right")) as writer:
        for way, label in ((-0.9, "left"), (0.9, "right")):
            writer.add(SkeletonClip.from_points(motion(way)[None], layout=HAND, fps=30, units="image01", label=label))
    source, seen = f"store:{tmp_path / 'store'}", list[Event]()
    summary = run(model.path, source, on_event=seen.append)
    assert list(model.watch(source)) == seen and [event.label for event in seen] == ["left", "right"]
    items = list(model.watch(source, frames=True))
    assert len(items) == summary.frames == 80 and items[0].points.shape == (1, 21, 3)
    assert [event for item in items for _, event in item.events] == seen


def test_leaving_the_loop_closes_the_source(model: Recogniser, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class Watched(SyntheticSource):
        def close(self) -> None:
            closed.append(self.name)

    monkeypatch.setattr(feed, "open_source", lambda text, layout, images: Watched(layout))
    items = model.watch("synthetic", frames=True)
    assert next(items).frame.index == 0 and closed == []
    items.close()  # type: ignore[attr-defined]
    assert closed == ["synthetic"]


def test_what_a_source_says_is_passed_on(model: Recogniser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SyntheticSource, "describe", lambda source: "made of sines")
    said: list[str] = []
    assert not list(model.watch("synthetic", limit=3, notice=said.append)) and said == ["made of sines"]


def test_a_closed_recogniser_says_so(model: Recogniser) -> None:
    with model:
        assert model.predict(motion(-0.9)).best.label == "left"
    with pytest.raises(UsageError, match="the recogniser is closed"):
        model.predict(motion(-0.9))


def test_a_bundles_own_threshold_counts_unless_another_is_given(make_bundle: MakeBundle) -> None:
    model = Recogniser(Bundle.open(make_bundle(accept=0.97)))
    assert model.stream().decoder.threshold == 0.97
    options: Any = RecogniseOptions()
    assert model.stream(options=options).decoder.threshold == 0.97


@pytest.mark.parametrize(
    ("points", "what"),
    [
        (np.zeros((20, 21, 4)), "do not fit"),
        (np.zeros((20, 21, 3), bool), "array of numbers"),
        (np.zeros((20, 21, 3), complex), "array of numbers"),
        ([[[0.0] * 3] * 21, [[0.0] * 3] * 20], "array of numbers"),
        ("clip.mp4", "array of numbers"),
    ],
)
def test_what_is_no_clip_is_refused(points: Any, what: str, model: Recogniser) -> None:
    with pytest.raises(InputError, match=what):
        model.predict(points, fps=30)


def test_a_whole_clip_is_not_taken_for_one_frame_of_many_bodies(model: Recogniser) -> None:
    with pytest.raises(InputError, match="do not fit"):
        model.stream().push(motion(1.0), 0.0)


def test_unknown_units_are_refused(model: Recogniser) -> None:
    with pytest.raises(UsageError, match="unknown units"):
        model.predict(motion(1.0), fps=30, units="pixels")  # type: ignore[arg-type]
