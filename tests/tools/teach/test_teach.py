"""Own gestures by one command: which clips judge, what is said of them, what the bundle carries, how it goes on."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.zoo import find_bundle
from last_edge.clips.store import ClipStore
from last_edge.clips.writer import writing_store
from last_edge.errors import InputError, UsageError
from last_edge.models import create_model
from last_edge.runtime.recognise.stream import Decode, RecogniseOptions
from last_edge.runtime.recognise.stream_eval import TOLERANCE_S
from last_edge.runtime.recogniser import Recogniser
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.tasks.metrics import wilson
from last_edge.tasks.plan import make_plan
from last_edge.tools.cli import main
from last_edge.tools.teach.basis import background_counts, base_for, recipe_for, shows_nothing, write_lesson
from last_edge.tools.teach.figures import calls, figures_of, fit_thresholds
from last_edge.tools.teach.folds import HeldOut, plan_folds, streams_of
from last_edge.tools.teach.options import TeachOptions
from last_edge.tools.teach.takes import from_takes, gather, trimmed
from last_edge.tools.teach.teacher import Teacher

HAND = get_layout("mediapipe_hand21")
GESTURES = ("wave", "push", "rise")
NO_TORCH = "import sys, last_edge; last_edge.Teacher; last_edge.TeachOptions; assert 'torch' not in sys.modules"


def take(gesture: str, number: int, *, subject: str = "anna", source_id: str = "") -> SkeletonClip:
    """A hand of a fixed shape whose way in the picture is the gesture, with a place and noise of its own; the hand is
    absent in the first three frames."""
    random = np.random.default_rng([GESTURES.index(gesture), number])
    shape = np.random.default_rng(5).normal(0, 0.04, (21, 3)) + np.linspace(0, 0.15, 21)[:, None] * [0, -1, 0]
    time = np.linspace(0, 1, 30)
    way = {"wave": np.sin(6 * np.pi * time), "push": time * 2 - 1, "rise": 1 - 2 * time}[gesture]
    points = np.tile(shape, (30, 1, 1)) + random.normal([0.6, 0.5, 0], 0.05)
    points[:, :, 0 if gesture != "rise" else 1] += 0.2 * way[:, None]
    points += random.normal(0, 0.003, points.shape)
    points[:3] = np.nan
    return SkeletonClip.from_points(
        points[None], layout=HAND, fps=30.0, units="image01", label=gesture, subject=subject,
        source_id=source_id or f"{subject}/{gesture}/{number:03d}", split="train",
    )  # fmt: skip


def store_of(path: Path, clips: list[SkeletonClip], labels: tuple[str, ...] = GESTURES) -> ClipStore:
    with writing_store(path, layout=HAND, units="image01", labels=labels, about={"licence": "free"}) as writer:
        for clip in clips:
            writer.add(clip)
    return ClipStore.open(path)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """Three gestures, four takes each, taught by the command; its folder and what it printed."""
    folder = tmp_path_factory.mktemp("teach")
    store_of(folder / "store", [take(gesture, number) for gesture in GESTURES for number in range(4)])
    words = ["teach", str(folder / "mine"), *GESTURES, "--store", str(folder / "store"), "--json"]
    with redirect_stdout(io.StringIO()) as out:
        assert main([*words, "--workers", "1"]) == 0
    return folder / "mine", json.loads(out.getvalue())


def test_one_command_leaves_a_bundle_that_runs_and_tells_what_it_was_not_taught(
    taught: tuple[Path, dict[str, object]],
) -> None:
    folder, facts = taught
    manifest = Bundle.open(folder / "bundle").manifest
    assert manifest.labels == (*GESTURES, "nothing") and facts["labels"] == list(GESTURES)
    assert manifest.metrics == {}  # what was learnt measures nothing
    assert manifest.held_out["by"] == "takes" and manifest.held_out["n"] == 12
    assert manifest.held_out["low"] <= manifest.held_out["top1"] <= manifest.held_out["high"]
    assert "Accuracy on takes left out of training" in (folder / "bundle" / "card.md").read_text()
    assert str(manifest.held_out["top1"]) in str(facts["sentence"])
    assert "one person only" in " ".join(facts["advice"])  # type: ignore[arg-type]
    model = Recogniser.open(folder)  # the teaching stands for its bundle
    assert model.labels == (*GESTURES, "nothing") and model.rejection.temperature == manifest.thresholds["temperature"]
    assert find_bundle(folder) == folder / "bundle" and find_bundle(folder, inside=False) == folder
    report = (folder / "report.md").read_text()
    assert str(facts["sentence"]) in report and "| wave |" in report


def test_a_second_call_does_nothing_again_and_new_takes_are_learnt(
    taught: tuple[Path, dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, facts = taught
    manifest = (folder / "bundle" / "manifest.json").read_bytes()
    assert main(["teach", str(folder), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["sentence"] == facts["sentence"]
    assert "trained (as before)" in told.err and (folder / "bundle" / "manifest.json").read_bytes() == manifest
    teacher = Teacher(folder)
    assert teacher.options.workers == 1 and teacher.takes().clips == 12
    store_of(folder.parent / "more", [take(gesture, number) for gesture in GESTURES for number in range(5)])
    more = Teacher(folder, options=dataclasses.replace(teacher.options, store=str(folder.parent / "more")))
    assert more.takes().clips == 15


def test_a_taught_bundle_states_what_to_expect_of_a_stream_and_takes_another_point(
    taught: tuple[Path, dict[str, object]],
) -> None:
    folder, facts = taught
    manifest = Bundle.open(folder / "bundle").manifest
    assert set(manifest.operating) <= set(get_args(Decode)) and "sliding" in manifest.operating
    assert manifest.thresholds["stream_gestures"] == 12
    rows = manifest.operating["sliding"]
    (stated,) = [row for row in rows if row.get("stated")]
    said = (
        f"{stated['detection']:.0f}% of the gestures were found at {stated['false_per_hour']:.0f} false events an hour"
    )
    assert said in str(facts["on_streams"])
    assert "takes that were left out, answered by" in (folder / "bundle" / "card.md").read_text()
    model = Recogniser.open(folder)
    strict = model.stream(options=RecogniseOptions(false_per_hour=rows[0]["false_per_hour"]))
    assert strict.decoder.threshold == rows[0]["threshold"]
    assert model.stream().decoder.threshold == stated["threshold"]


def test_a_stream_of_takes_has_nobody_in_view_between_and_its_background_apart(tmp_path: Path) -> None:
    clips = [take(gesture, number) for gesture in GESTURES for number in range(2)]
    lesson = write_lesson(clips, tmp_path / "lesson", labels=GESTURES, licence="free", count=60)
    tests = np.array([0, 2, 5, *range(6, 10)])
    own, *others = streams_of(lesson, tests, bodies=1)
    assert sorted(span.label for span in own.spans) == sorted(GESTURES) and len(others) == 4
    assert not any(take.spans for take in others)
    assert (np.diff(own.times) > 0).all()
    shown = ~np.isnan(own.points[0, :, :, 0]).all(axis=1)
    inside = np.any([(own.times >= span.start_s) & (own.times <= span.end_s) for span in own.spans], axis=0)
    assert shown[~inside].sum() == 0 and shown[inside].mean() > 0.8
    gaps = [after.start_s - before.end_s for before, after in zip(own.spans, own.spans[1:], strict=False)]
    assert min(gaps) > TOLERANCE_S


def test_no_crops_of_one_take_judge_each_other(tmp_path: Path) -> None:
    clips = [
        take(gesture, 10 * number + piece, source_id=f"{gesture}{number}.mp4#{piece}")
        for gesture in GESTURES for number in range(4) for piece in range(3)
    ]  # fmt: skip
    store = store_of(tmp_path / "store", clips)
    by, folds = plan_folds(store, shows_nothing(store))
    assert by == "takes" and sorted(np.concatenate(folds).tolist()) == list(range(36))
    for tests in folds:
        own = {str(name).partition("#")[0] for name in store.index.source_id[tests]}
        rest = {str(name).partition("#")[0] for name in np.delete(store.index.source_id, tests)}
        assert own and not own & rest
        assert set(store.index.label[np.delete(np.arange(36), tests)]) == {0, 1, 2}


def test_people_are_left_out_where_every_gesture_has_two(tmp_path: Path) -> None:
    two = [take(gesture, number, subject=who) for gesture in GESTURES for number in range(3) for who in ("anna", "ben")]
    store = store_of(tmp_path / "two", two)
    by, folds = plan_folds(store, shows_nothing(store))
    assert by == "people" and [set(store.index.subject[fold]) for fold in folds] == [{"anna"}, {"ben"}]
    lone = store_of(tmp_path / "lone", [*two, *(take("wave", 50 + n, subject="cleo") for n in range(3))][1:])
    assert plan_folds(lone, shows_nothing(lone))[0] == "people"
    alone = [clip for clip in two if clip.label != "rise" or clip.subject == "anna"]
    mixed = store_of(tmp_path / "mixed", alone)
    assert plan_folds(mixed, shows_nothing(mixed))[0] == "takes"


def test_advice_names_what_is_taken_for_what(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", [take(gesture, number) for gesture in GESTURES for number in range(12)])
    answers = store.index.label.copy()
    answers[:4] = 1  # four of twelve waves are taken for push
    logits = np.float32(8) * np.eye(3, dtype=np.float32)[answers]
    figures = figures_of(HeldOut("takes", 3, np.arange(36), logits, {}), store, given=GESTURES)
    assert (figures.right, figures.n) == (32, 36) and (figures.low, figures.high) == wilson(32, 36)
    assert figures.taken_for == (("wave", "push", 4, 12),)
    assert figures.advice[0] == "record 10 more of wave: it is taken for push in 4 of 12"
    assert any("one person only" in line for line in figures.advice)
    assert not any("takes are few" in line for line in figures.advice)


def test_wilson_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    for right, n in ((0, 5), (5, 5), (49, 50), (812, 840)):
        low, high = binomtest(right, n).proportion_ci(method="wilson")
        assert wilson(right, n) == pytest.approx((100 * low, 100 * high), abs=0.01)
    assert wilson(0, 0) == (0.0, 100.0)


def test_thresholds_keep_right_answers_and_silence_background() -> None:
    random = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], 40)  # 2 is background
    logits = 6 * np.eye(3)[labels] + random.normal(0, 1, (120, 3))
    logits[80:90] = [1.5, 0.5, 1.0]  # ten other motions that look a little like the first gesture
    found = fit_thresholds(logits.astype(np.float32), labels, frozenset({2}))
    called = calls(logits.astype(np.float32), frozenset({2}), found)
    assert called[80:].mean() == 0 and called[:80].mean() > 0.9
    assert calls(logits[80:90].astype(np.float32), frozenset(), {"accept": 0.3}).all()


def test_takes_are_cut_to_the_hand_and_those_without_one_are_told(tmp_path: Path) -> None:
    cut = trimmed(take("wave", 0))
    assert cut is not None and cut.frames == 27
    gone = take("wave", 1)
    nobody = SkeletonClip.from_points(
        np.full_like(gone.coords, np.nan), layout=HAND, fps=30.0, units="image01", label="wave", source_id="gone"
    )
    clips = [*(take(gesture, number) for gesture in GESTURES for number in range(3)), nobody]
    made = gather(clips, tmp_path / "takes", labels=(), about={})
    assert made.left_out == {"gone": "no hand in view"} and made.clips == 9
    assert any("show no hand" in line for line in made.warnings)
    with pytest.raises(InputError, match=r"too few takes(.|\n)*wave 2"):
        gather([clip for clip in clips if clip.source_id != "anna/wave/000"], tmp_path / "few", labels=(), about={})
    with pytest.raises(InputError, match=r"no take of this gesture(.|\n)*waev(.|\n)*"):
        gather(clips, tmp_path / "absent", labels=("waev", "push"), about={})
    with pytest.raises(UsageError, match="one gesture alone"):
        gather(clips, tmp_path / "one", labels=("push",), about={})


def test_takes_of_the_page_are_read(tmp_path: Path) -> None:
    frames = np.where(np.isnan(take("push", 0).coords[0]), None, take("push", 0).coords[0].astype(object)).tolist()
    whole = {"layout": HAND.name, "units": "image01", "takes": [{"label": "push", "fps": 30, "frames": frames}]}
    (tmp_path / "takes.json").write_text(json.dumps(whole))
    (clip,) = from_takes(tmp_path)
    assert clip.label == "push" and np.array_equal(clip.coords, take("push", 0).coords, equal_nan=True)
    (tmp_path / "takes.json").write_text(json.dumps(whole | {"takes": [{"label": "push"}]}))
    with pytest.raises(InputError, match="not a file of takes"):
        list(from_takes(tmp_path))
    with pytest.raises(InputError, match="no takes here"):
        list(from_takes(tmp_path / "nowhere"))


def test_a_base_needs_float_weights_and_a_hand_starts_from_nothing_unasked(make_bundle: Callable[..., Path]) -> None:
    assert base_for(HAND, "none") is None and base_for(HAND, "") is None
    with pytest.raises(InputError, match="no float weights"):
        base_for(HAND, str(make_bundle()))


def test_a_hand_without_a_base_takes_no_epochs(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", [take(gesture, number) for gesture in GESTURES for number in range(2)])
    with pytest.raises(UsageError, match="take no epochs"):
        recipe_for(store, None, epochs=5, seed=1)
    assert recipe_for(store, None, epochs=None, seed=1).model.name == "point_kernel"


@pytest.mark.parametrize(("name", "model"), [
    ("mediapipe_holistic75", "point_kernel"), ("mediapipe_holistic83", "point_kernel"),
    ("mediapipe_pose33", "last_lite_nano"), ("openpose137", "pose_transformer_small"),
    ("phoenix50", "pose_transformer_small"),
])  # fmt: skip
def test_a_signer_is_solved_and_others_are_trained(name: str, model: str, tmp_path: Path) -> None:
    layout = get_layout(name)
    points = np.random.default_rng(0).random((1, 12, layout.joints, 3), np.float32)
    with writing_store(tmp_path / "store", layout=layout, units="image01", about={}) as writer:
        for label in GESTURES:
            writer.add(SkeletonClip.from_points(
                points, layout=layout, fps=30, units="image01", label=label, subject="anna", source_id=label,
                split="train",
            ))  # fmt: skip
    store = ClipStore.open(tmp_path / "store")
    recipe = recipe_for(store, base_for(layout, ""), epochs=None, seed=1)
    assert recipe.model.name == model
    create_model(model, spec=make_plan(store, recipe).spec, classes=3, **recipe.model.options)
    clips = [store.clip(0)]
    assert background_counts(clips, None) == ((300, 0) if model == "point_kernel" else (60, 0))


def test_takes_come_from_one_place() -> None:
    with pytest.raises(UsageError, match="takes come from one place"):
        TeachOptions(videos="a", store="b")
    with pytest.raises(UsageError, match="no such detector"):
        TeachOptions(detector="nose")


def test_the_teacher_is_there_without_torch() -> None:
    subprocess.run([sys.executable, "-c", NO_TORCH], check=True)


def test_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["teach", str(tmp_path / "mine"), "wave", "push", "--count", "5", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["gestures"] == ["wave", "push"] and told["count"] == 5 and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ten_takes_of_three_gestures_are_learnt(tmp_path: Path) -> None:
    """The model knows takes that it was neither taught nor measured with."""
    store_of(tmp_path / "store", [take(gesture, number) for gesture in GESTURES for number in range(10)])
    taught = Teacher(tmp_path / "mine", GESTURES, options=TeachOptions(store=str(tmp_path / "store"))).teach()
    assert taught.held_out["top1"] >= 90 and taught.int8 == "none"
    model = Recogniser.open(tmp_path / "mine")
    fresh = [(gesture, take(gesture, 100 + number)) for gesture in GESTURES for number in range(10)]
    given = {"layout": fresh[0][1].layout, "units": fresh[0][1].units}  # a base bundle may take other points
    right = sum(model.predict(clip.coords, fps=30, **given).best.label == gesture for gesture, clip in fresh)
    assert right >= 27
