"""Every gate passes on good clips and fails, alone where it can, on the fault it is for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore, writing_store
from last_edge.clips.store import ClipIndex, StoreHeader
from last_edge.data.gates import Limits, limits_from, require, run_gates
from last_edge.data.gates.general import ClipFigures, measure
from last_edge.data.gates.ntu import ntu_gates
from last_edge.data.inspect import near_duplicates
from last_edge.data.readers.ntu import missing_ids, read_ntu
from last_edge.data.synth.ntu import PUBLISHED, NtuSynthOptions, part, skeleton_file
from last_edge.errors import GateError, UsageError
from last_edge.inputs.spec import fit_window
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.skeleton.layout import rotation

LABELS = tuple(f"A{action:03d}" for action in range(1, 61))
ABOUT = {"dataset": "ntu", "options": {"split_type": "xsub"}}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """72 clips of eight groups, three actions (one of two people)."""
    folder = tmp_path_factory.mktemp("raw")
    for name in part(60, groups=4, actions=3):
        (folder / f"{name.clip_id}.skeleton").write_text(skeleton_file(name, NtuSynthOptions(frames=20)))
    return tuple(read_ntu(folder))


def write(path, clips, about=ABOUT, labels=LABELS, units="metres"):
    with writing_store(path, layout=clips[0].layout, units=units, labels=labels, about=about) as writer:
        for clip in clips:
            writer.add(clip)
    return ClipStore.open(path)


def judged(store, limits=None):
    """Name -> gate."""
    pairs = near_duplicates(store)
    return {gate.name: gate for gate in run_gates(store, limits=limits, pairs=pairs)}


def broken(store, limits=None):
    return {name for name, gate in judged(store, limits).items() if gate.passed is False}


def about_of(clip):
    return {name: getattr(clip, name) for name in ("label", "subject", "source_id", "split", "camera", "setup")}


def points(clip, change):
    """The clip with its points (M, T, V, C) changed in place."""
    coords = clip.coords.copy()
    change(coords)
    return SkeletonClip.from_points(coords, layout=clip.layout, fps=clip.fps, units=clip.units, **about_of(clip))


def put(where, value):
    def change(coords):
        coords[where] = value

    return change


def cut(clip, frames):
    return dataclasses.replace(clip, coords=clip.coords[:, :frames], confidence=clip.confidence[:, :frames])


def each(clips, change):
    return [points(clip, change) for clip in clips]


def scaled(factor):
    def change(coords):
        coords *= factor

    return change


FAULTS = {}
ALSO = {}
ALL = slice(None)


def fault(gate, *also):
    """Register what breaks a gate, and which others break with it."""

    def register(function):
        FAULTS[gate], ALSO[gate] = function, set(also)
        return function

    return register


def first_clip(gate, *also):
    """As `fault`, for a change of the first clip alone."""

    def register(function):
        fault(gate, *also)(lambda clips: [function(clips[0]), *clips[1:]])
        return function

    return register


first_clip("length", "ntu length")(lambda clip: cut(clip, 1))
first_clip("ntu length")(lambda clip: cut(clip, 7))
first_clip("empty clips", "still clips")(lambda clip: points(clip, put(ALL, np.nan)))
first_clip("zero clips", "still clips")(lambda clip: points(clip, put(0, 0)))
first_clip("still clips")(lambda clip: points(clip, lambda coords: put(ALL, coords[:, :1].copy())(coords)))
first_clip("coordinates")(lambda clip: points(clip, put((0, 3, 9), 31)))
first_clip("unlabelled", "ntu ids")(lambda clip: dataclasses.replace(clip, label=None))
first_clip("ntu ids")(lambda clip: dataclasses.replace(clip, camera="C009"))
first_clip("ntu protocol", "people", "copies")(lambda clip: dataclasses.replace(clip, split="test"))
first_clip("ntu origin")(lambda clip: points(clip, lambda coords: put(ALL, coords + 0.01)(coords)))
fault("missing points")(lambda clips: each(clips, put((0, ALL, slice(1, 15)), np.nan)))
fault("bodies", "ntu two bodies")(lambda clips: each(clips, put(1, np.nan)))
fault("first body")(lambda clips: [*clips[:-1], points(clips[-1], put(0, np.nan))])
fault("size", "ntu spine", "speed")(lambda clips: each(clips, scaled(4)))
fault("ntu spine")(lambda clips: each(clips, scaled(0.5)))
fault("splits", "ntu protocol")(lambda clips: [dataclasses.replace(clip, split="train") for clip in clips])
fault("people", "ntu ids")(lambda clips: [dataclasses.replace(clip, subject="P001") for clip in clips])
fault("ntu complete")(lambda clips: clips[1:])


@fault("speed")
def one_joint_jumps(clips):
    return each(clips, lambda coords: put((0, slice(5, None), 9), coords[0, 5:, 9] + 0.7)(coords))


@fault("limb", "speed", "ntu spine")
def spine_stretches(clips):
    return each(clips, lambda coords: put((0, slice(None, None, 2), 20), coords[0, ::2, 20] * 4)(coords))


@fault("taught", "ntu ids")
def an_action_is_only_tested(clips):
    return [dataclasses.replace(clip, label="A001") if clip.split == "test" else clip for clip in clips]


@fault("equal clips")
def one_clip_twice(clips):
    return [dataclasses.replace(clips[1], **about_of(clips[0])), *clips[1:]]


@fault("leaks", "copies")
def test_clip_is_a_larger_training_clip(clips):
    taught = next(clip for clip in clips if clip.split == "train")
    larger = dataclasses.replace(taught, coords=taught.coords * np.float32(1.01))
    return [*clips[:-1], dataclasses.replace(larger, **about_of(clips[-1]))]


test_clip_is_a_larger_training_clip.__test__ = False


@fault("copies")
def another_views_test_clip(clips):
    """A training clip turned about its own axis and slowed down: no point of it lies where it lay."""
    taught = next(clip for clip in clips if clip.split == "train")
    turn = rotation(1.2, (0, 2)).astype(np.float32)
    slow = fit_window(taught.coords @ turn.T, 2 * taught.frames)
    seen = fit_window(taught.confidence[..., None], 2 * taught.frames)[..., 0]
    return [*clips[:-1], dataclasses.replace(taught, coords=slow, confidence=seen, **about_of(clips[-1]))]


def test_variants_in_another_split_are_named(tmp_path, good):
    changed = points(good[0], lambda coords: put((0, ALL, 5), np.nan)(coords))
    moved = dataclasses.replace(changed, source_id=f"{good[0].source_id}#v03", split="test")
    gate = judged(write(tmp_path / "s", [*good, moved]))["variants"]
    assert (gate.passed, gate.clips) == (False, (good[0].source_id,))


@first_clip("ntu missing list", "ntu complete", "ntu ids")
def a_listed_clip(clip):
    return dataclasses.replace(clip, source_id=min(missing_ids()))


@fault("ntu two bodies")
def second_people_are_gone_but_one(clips):
    return [*each(clips[:-1], put(1, np.nan)), clips[-1]]


def test_good_clips_pass_and_what_does_not_apply_says_why(tmp_path, good):
    gates = judged(write(tmp_path / "s", good))
    assert {name for name, gate in gates.items() if gate.passed is None} == {"classes", "ntu counts", "ntu upright"}
    assert "3 of 60 classes" in gates["classes"].found
    assert "part of the data set" in gates["ntu counts"].found
    assert {name for name, gate in gates.items() if gate.passed is False} == set()


@pytest.mark.parametrize("gate", FAULTS)
def test_a_fault_breaks_its_gate(tmp_path, good, gate):
    store = write(tmp_path / "s", FAULTS[gate](list(good)))
    assert broken(store) == {gate} | ALSO[gate]


def test_the_clip_at_fault_is_named(tmp_path, good):
    store = write(tmp_path / "s", FAULTS["coordinates"](list(good)))
    gate = judged(store)["coordinates"]
    assert (gate.clips, gate.found) == ((good[0].source_id,), "31")
    with pytest.raises(GateError, match=r"coordinates: 31") as caught:
        require(run_gates(store), where=store.path)
    assert caught.value.exit_code == 4


def test_absent_file_is_named(tmp_path, good):
    gate = judged(write(tmp_path / "s", good[1:]))["ntu complete"]
    assert gate.clips == (good[0].source_id,)


def test_rotated_store_stands_upright_and_another_fails(tmp_path, good):
    about = {"dataset": "ntu", "options": {"split_type": "xsub", "rotate": True}}
    lying = each(good, lambda coords: put(ALL, coords[..., [0, 2, 1]].copy())(coords))
    assert "ntu upright" in broken(write(tmp_path / "lying", lying, about))


def test_protocols_that_share_people_are_not_held_to_keep_them_apart(tmp_path, good):
    about = {"dataset": "ntu", "options": {"split_type": "xview"}}
    split = [dataclasses.replace(clip, split="test" if clip.camera == "C001" else "train") for clip in good]
    gates = judged(write(tmp_path / "s", split, about))
    assert (gates["people"].passed, gates["leaks"].passed, gates["ntu protocol"].passed) == (None, None, True)


def store_of(names, split_type):
    """A store in memory with one point at rest for each id."""
    count = len(names)
    rows = [
        {"offset": row, "length": 1, "label": name.action - 1, "fps": 30.0, "subject": f"P{name.subject:03d}",
         "split": name.split(split_type), "camera": f"C{name.camera:03d}", "setup": f"S{name.setup:03d}",
         "source_id": name.clip_id}
        for row, name in enumerate(names)
    ]  # fmt: skip
    about = {"dataset": "ntu", "options": {"split_type": split_type}}
    labels = tuple(f"A{action:03d}" for action in range(1, max(name.action for name in names) + 1))
    header = StoreHeader(get_layout("ntu25"), "metres", labels, count, (count, 1, 25, 3), {}, "", about=about)
    frames = np.zeros((count, 1, 25, 3), np.float32)
    return ClipStore(Path("s"), header, ClipIndex.from_rows(rows), frames, np.ones((count, 1, 25), np.float16))


def figures_of(store):
    """One clip's figures for all."""
    few = measure(dataclasses.replace(store, index=ClipIndex.from_rows([row_of(store)])), step=0.5)
    return ClipFigures(**{name: np.repeat(column, len(store), axis=0) for name, column in vars(few).items()})


def row_of(store):
    return {name: column[0] for name, column in store.index.columns().items()}


@pytest.mark.parametrize(("classes", "protocol"), PUBLISHED)
def test_a_whole_data_set_is_held_to_the_published_counts(classes, protocol):
    names = [name for name in part(classes, groups=0, actions=0) if name.clip_id not in missing_ids()]
    for absent, passed in ((0, True), (1, False)):
        store = store_of(names[absent:], protocol)
        gates = {gate.name: gate for gate in ntu_gates(store, figures_of(store), Limits())}
        verdicts = [gates[name].passed for name in ("ntu counts", "ntu complete", "ntu ids", "ntu protocol")]
        assert verdicts == [passed, passed, True, True]


def test_an_id_that_stands_twice_is_found():
    names = part(60, groups=1, actions=1)
    gates = {gate.name: gate for gate in run_gates(store_of([*names, names[0]], "xsub"))}
    assert (gates["equal ids"].passed, gates["equal ids"].clips) == (False, (names[0].clip_id,) * 2)


def test_stores_of_other_data_have_no_ntu_gates(tmp_path, good):
    plain = [dataclasses.replace(clip, label="A020") for clip in good]
    gates = judged(write(tmp_path / "s", plain, about={}, labels=("A020",)))
    assert not [name for name in gates if name.startswith("ntu")]
    assert gates["classes"].passed is True
    assert "absent" in judged(write(tmp_path / "t", plain, about={}))["classes"].found


def test_image_coordinates_have_no_size_in_metres(tmp_path, good):
    flat = [dataclasses.replace(clip, units="image01") for clip in good]
    gates = judged(write(tmp_path / "s", flat, about={}, units="image01"))
    assert (gates["size"].passed, gates["limb"].passed) == (None, None)


def test_clips_without_names_and_splits(tmp_path, good):
    bare = [dataclasses.replace(clip, split="", subject="", source_id="") for clip in good]
    gates = judged(write(tmp_path / "s", bare, about={}))
    assert {gates[name].passed for name in ("splits", "people", "taught")} == {None}
    assert (gates["equal ids"].passed, gates["leaks"].found) == (True, "0 pairs")


def test_limits_can_be_changed(tmp_path, good):
    store = write(tmp_path / "s", good)
    assert broken(store, limits_from(["shortest=16", "step=0.01"])) == {"length", "speed"}
    with pytest.raises(UsageError, match="step"):
        limits_from(["stop=1"])
    with pytest.raises(UsageError, match="number"):
        limits_from(["step=fast"])


def test_a_store_without_labels_is_judged_too(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    clips = [
        SkeletonClip.from_points(
            random.normal(size=(1, 9, 21, 3)).cumsum(1).astype(np.float32) * 0.01,
            layout=get_layout("mediapipe_hand21"), fps=30.0, units="image01", source_id=str(number), split=split,
        )
        for number, split in enumerate(("train", "test"))
    ]  # fmt: skip
    store = write(tmp_path / "store", clips, about={}, labels=(), units="image01")
    verdicts = {gate.name: gate for gate in run_gates(ClipStore.open(tmp_path / "store") if store is None else store)}
    assert verdicts["classes"].passed is None and verdicts["classes"].found == "no clip has a label"
