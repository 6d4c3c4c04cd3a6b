"""Several stores as one: names, people, splits, layouts, and hands that stand upright."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import writing_store
from last_edge.data.join import join_stores
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import Annotation, SkeletonClip, get_layout
from last_edge.skeleton.layout import rotation

HAND, LEAP = get_layout("mediapipe_hand21"), get_layout("leap20")
STEEP = {"anna": 20.0, "ben": 60.0}


def hand(joints: int, middle: int, degrees: float) -> np.ndarray:
    """(1, 60, V, 3): wrist at the origin, the middle knuckle `degrees` above the way to the camera."""
    points = np.zeros((1, 60, joints, 3), np.float32)
    points[..., middle, :] = np.array([0, np.sin(np.radians(degrees)), -np.cos(np.radians(degrees))])
    return points


@pytest.fixture
def stores(tmp_path: Path) -> list[Path]:
    """Recordings of a Leap Motion with gestures, and one of a webcam's hand that shows nothing, without a split."""
    with writing_store(tmp_path / "leap", layout=LEAP, units="metres", about={"licence": "one"}) as writer:
        for person, degrees in STEEP.items():
            spans = (Annotation("LEFT", 10, 29), Annotation("MENU", 40, 49))
            writer.add(SkeletonClip.from_points(
                hand(20, 8, degrees), layout=LEAP, fps=50, units="metres", spans=spans, subject=person,
                source_id=person, split="test" if person == "ben" else "train",
            ))  # fmt: skip
    with writing_store(tmp_path / "still", layout=HAND, units="metres", about={"licence": "two"}) as writer:
        writer.add(SkeletonClip.from_points(
            hand(21, 9, 5.0), layout=HAND, fps=30, units="metres", label="hello", subject="anna", source_id="1"
        ))  # fmt: skip
        writer.add(SkeletonClip.from_points(
            hand(21, 9, 5.0), layout=HAND, fps=30, units="metres", subject="anna", source_id="2"
        ))  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps({"LEFT": "swipe_left"}))
    return [tmp_path / "leap", tmp_path / "still"]


def test_one_vocabulary_one_layout_and_people_by_store(stores: list[Path], tmp_path: Path) -> None:
    made = join_stores(stores, tmp_path / "all", layout=HAND, labels=tmp_path / "labels.json")
    assert made.labels == ("swipe_left",) and made.layout == HAND and len(made) == 3, "the clip of hello is left out"
    assert [made.clip(number).spans for number in range(3)] == [(Annotation("swipe_left", 10, 29),)] * 2 + [()]
    assert made.index.subject.tolist() == ["leap/anna", "leap/ben", "still/anna"]
    assert made.index.split.tolist() == ["train", "test", "train"], "a store without a split trains"
    assert made.index.source_id.tolist() == ["leap/anna", "leap/ben", "still/2"]
    assert made.about["licence"] == "one; two" and made.recordings("train").tolist() == [0, 2]


def test_every_hand_that_shows_a_gesture_stands_upright(stores: list[Path], tmp_path: Path) -> None:
    made = join_stores(stores, tmp_path / "all", layout=HAND, labels=tmp_path / "labels.json", upright=True)
    steep = []
    for number in range(3):
        x, y, z = made.points(number)[0, 0, 9]
        assert x == 0
        steep.append(float(np.degrees(np.arctan2(y, -z))))
    np.testing.assert_allclose(steep, [85, 85, 5], atol=1e-3)
    turned = hand(21, 9, 20.0) @ rotation(np.radians(65), (1, 2)).T
    np.testing.assert_allclose(made.points(0)[:, :, 9], turned[:, :, 9], atol=1e-6)


def test_what_does_not_fit_is_refused_by_name(stores: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stores of one name"):
        join_stores([stores[0], stores[0]], tmp_path / "all")
    with pytest.raises(UsageError, match="no conversion from leap20 to kinect20"):
        join_stores(stores, tmp_path / "all", layout=get_layout("kinect20"))
    (tmp_path / "labels.json").write_text(json.dumps({"LEFT": "left", "LEFFT": "left"}))
    with pytest.raises(InputError, match="labels that no store has"):
        join_stores(stores, tmp_path / "all", layout=HAND, labels=tmp_path / "labels.json")
    (tmp_path / "labels.json").write_text("[1]")
    with pytest.raises(InputError, match="not a table of labels"):
        join_stores(stores, tmp_path / "all", layout=HAND, labels=tmp_path / "labels.json")
    pictures = tmp_path / "pictures"
    with writing_store(pictures, layout=HAND, units="image01") as writer:
        writer.add(SkeletonClip.from_points(hand(21, 9, 5.0), layout=HAND, fps=30, units="image01", label="a"))
    with pytest.raises(InputError, match="stores in other units"):
        join_stores([stores[1], pictures], tmp_path / "all")
    with pytest.raises(UsageError, match="--upright turns hands"):
        join_stores([pictures], tmp_path / "all", upright=True)
    assert not (tmp_path / "all").exists()
