"""The background set: what it shows, in which layouts, the same every time; and a store that has it as a class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore, writing_store
from last_edge.data.background import (
    LABEL,
    add_background,
    background_clips,
    background_layouts,
    signing_clips,
    signing_layouts,
)
from last_edge.data.synth.background import KINDS, record
from last_edge.errors import UsageError
from last_edge.skeleton import SkeletonClip, get_layout
from last_edge.skeleton.layout import limb_length
from last_edge.tools.cli import main

COUNT = 2 * len(KINDS)


@pytest.mark.parametrize("layout", background_layouts())
def test_every_layout_has_clips_of_every_kind(layout: str) -> None:
    clips = background_clips(layout, count=COUNT)
    assert len(clips) == COUNT
    assert {clip.source_id.split("/")[1] for clip in clips} == set(KINDS)
    assert {clip.label for clip in clips} == {LABEL}
    assert all((~np.isnan(clip.coords)).any() for clip in clips)
    assert len({clip.source_id for clip in clips}) == COUNT


def test_equal_arguments_give_equal_bytes_and_another_seed_gives_others() -> None:
    one, again, other = (record("motion", 3, seed=seed).image for seed in (0, 0, 1))
    assert one.tobytes() == again.tobytes()
    assert one.shape != other.shape or one.tobytes() != other.tobytes()


def test_a_resting_hand_moves_less_than_a_busy_one_and_a_partly_seen_one_is_seen_less() -> None:
    def seen(kind: str) -> float:
        return float(np.mean([(~np.isnan(record(kind, take, seed=0).image[:, 54:])).mean() for take in range(8)]))

    def path(kind: str) -> float:
        wrists = (record(kind, take, seed=0).metres[:, 16] for take in range(8))
        return float(np.mean([np.linalg.norm(np.nanmax(w, axis=0) - np.nanmin(w, axis=0)) for w in wrists]))

    assert path("idle") < path("busy") < path("motion")
    assert seen("partly") < 0.7 * seen("held")


def test_a_hand_in_metres_has_an_adults_size() -> None:
    lengths = [
        limb_length(clip.coords[0], clip.layout) for clip in background_clips("shrec22", units="metres", count=COUNT)
    ]
    assert 0.07 < np.nanmedian(lengths) < 0.13


@pytest.mark.parametrize("layout", signing_layouts())
def test_signing_hands_come_in_every_layout_of_a_hand(layout: str) -> None:
    clips = signing_clips(layout, units="metres", count=6)
    assert [clip.label for clip in clips] == [LABEL] * 6 and len({clip.source_id for clip in clips}) == 6
    assert all(clip.layout.name == layout and clip.units == "metres" for clip in clips)
    if get_layout(layout).scale is not None:
        assert {round(limb_length(clip.coords[0], clip.layout), 4) for clip in clips} == {0.1}
    assert signing_clips(layout, count=1, channels=2)[0].coords.shape[-1] == 2
    assert signing_clips(layout, count=1)[0].coords.tobytes() == signing_clips(layout, count=1)[0].coords.tobytes()


def test_a_body_is_no_signing_hand() -> None:
    with pytest.raises(UsageError, match="no signing hands for mediapipe_pose33"):
        signing_clips("mediapipe_pose33")


def test_a_layout_without_a_conversion_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="no background set for hololens26") as caught:
        background_clips("hololens26")
    assert "mediapipe_hand21" in str(caught.value.expected)


def store_of(path: Path, label: str = "wave") -> ClipStore:
    layout = get_layout("mediapipe_hand21")
    with writing_store(path, layout=layout, units="image01") as writer:
        for number, split in enumerate(("train", "train", "test", "test")):
            points = np.random.default_rng(number).random((1, 12, 21, 3), np.float32)
            writer.add(SkeletonClip.from_points(
                points, layout=layout, fps=30, units="image01", label=label, subject=f"p{number}",
                source_id=str(number), split=split,
            ))  # fmt: skip
    return ClipStore.open(path)


def test_a_store_gains_a_class_whose_people_learn_or_test_but_never_both(tmp_path: Path) -> None:
    plain = store_of(tmp_path / "plain")
    made = add_background(plain, tmp_path / "more", count=14)
    assert made.labels == ("wave", LABEL)
    assert len(made) == len(plain) + 14
    nothing = made.index.label == 1
    people = {split: set(made.index.subject[nothing & (made.index.split == split)]) for split in ("train", "test")}
    assert [int((nothing & (made.index.split == split)).sum()) for split in people] == [7, 7]
    assert not people["train"] & people["test"]


def test_stretches_between_gestures_belong_to_their_training_person(tmp_path: Path) -> None:
    made = add_background(store_of(tmp_path / "plain"), tmp_path / "more", count=7, between=5)
    added = [number for number in range(len(made)) if made.index.source_id[number].startswith("between/")]
    assert len(added) == 5
    assert {made.index.subject[number] for number in added} <= {"p0", "p1"}
    assert {made.index.split[number] for number in added} == {"train"}


def test_moves_of_signing_hands_are_learnt_and_test_nobody(tmp_path: Path) -> None:
    plain = store_of(tmp_path / "plain")
    made = add_background(plain, tmp_path / "more", count=7, signing=4)
    added = [number for number in range(len(made)) if "/signing/" in made.index.source_id[number]]
    assert len(added) == 4 and len(made) == len(plain) + 11
    assert {made.labels[made.index.label[number]] for number in added} == {LABEL}
    assert {made.index.split[number] for number in added} == {"train"}


def test_a_store_with_background_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="clips of nothing already"):
        add_background(store_of(tmp_path / "plain", "Nothing"), tmp_path / "more")


def test_the_command_says_what_it_would_write_and_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_of(tmp_path / "plain")
    words = ["data", "background", str(tmp_path / "plain"), "--out", str(tmp_path / "more"), "--count", "14", "--json"]
    assert main([*words, "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 18
    assert not (tmp_path / "more").exists()
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == 2
