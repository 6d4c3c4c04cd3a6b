"""Crops of long recordings: what they teach at each frame, and that nothing is made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import ClipStore, writing_store
from last_edge.data.augment import Augment
from last_edge.data.stream_crops import CLASS, ELAPSED, WEIGHT, CropOptions, StreamCrops, frame_truth, whole_recording
from last_edge.skeleton import Annotation, SkeletonClip, get_layout

LAYOUT, FPS = get_layout("leap20"), 50.0
PLAIN = CropOptions(splice=0.0, speed=0.0, reach=0.0, offset=0.0, lost=0.0, coarse=0.0)
SPANS = {0: (Annotation("a", 100, 149), Annotation("b", 300, 319)), 1: (), 2: (Annotation("b", 50, 89),)}


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    """Three recordings whose every coordinate tells recording and frame."""
    with writing_store(tmp_path / "store", layout=LAYOUT, units="metres", labels=("a", "b")) as writer:
        for number, spans in SPANS.items():
            points = 1000 * number + np.arange(400.0)[None, :, None, None] + np.zeros((1, 400, 20, 3))
            writer.add(
                SkeletonClip.from_points(
                    points, layout=LAYOUT, fps=FPS, units="metres", source_id=str(number), split="train", spans=spans
                )
            )
    return ClipStore.open(tmp_path / "store")


def crops(store: ClipStore, *, frames: int = 100, rate: float = 25.0, options: CropOptions = PLAIN) -> StreamCrops:
    return StreamCrops(store, np.arange(3), frames=frames, rate=rate, ranges=Augment(), options=options, noise=0.0)


def test_truth_of_a_recording(store: ClipStore) -> None:
    truth = frame_truth(store, 0, CropOptions(tolerance_s=0.1, early=0.5, background=0.6, evenness=1.0))
    assert set(truth[:95, CLASS]) == {2} and set(truth[100:150, CLASS]) == {0} and set(truth[300:320, CLASS]) == {1}
    assert truth[94, WEIGHT] == pytest.approx(0.6) and set(truth[95:100, WEIGHT]) == {0}, "the border weighs nothing"
    assert set(truth[150:155, WEIGHT]) == {0} and truth[155, WEIGHT] == pytest.approx(0.6)
    assert (np.diff(truth[100:126, WEIGHT]) >= 0).all() and truth[125, WEIGHT] == pytest.approx(1.0)
    assert truth[310, WEIGHT] == pytest.approx(2.5), "a shorter gesture's frames weigh more"
    np.testing.assert_allclose(truth[100:150, ELAPSED], (np.arange(50) + 1) / FPS)
    assert not truth[:100, ELAPSED].any() and not truth[150:300, ELAPSED].any()


def test_a_plain_crop_is_a_stretch_of_its_recording(store: ClipStore) -> None:
    for seed in range(20):
        crop = crops(store).crop(0, np.random.default_rng(seed))
        at = crop.points[:, 0, 0]
        live = crop.truth[:, WEIGHT] > 0
        steps = np.diff(at)
        assert set(np.round(steps, 3)) <= {0.0, 2.0} or np.allclose(steps[steps > 0][:-1], 2.0)
        expected = frame_truth(store, 0, PLAIN)[np.round(at).astype(int).clip(0, 399), CLASS]
        np.testing.assert_array_equal(crop.truth[live, CLASS], expected[live])


def test_the_beginning_of_a_gesture_that_the_crop_cuts_is_not_taught(store: ClipStore) -> None:
    cut = 0
    for seed in range(200):
        crop = crops(store, frames=60).crop(0, np.random.default_rng(seed))
        if 101 < crop.points[0, 0, 0] < 149:
            cut += 1
            first = crop.truth[:, CLASS] == 0
            assert first[0] and not crop.truth[first, ELAPSED].any()
    assert cut > 5


def test_faster_gestures_have_lasted_less(store: ClipStore) -> None:
    options = CropOptions(**(vars(PLAIN) | {"speed": 1.0}))
    for seed in range(30):
        crop = crops(store, options=options).crop(0, np.random.default_rng(seed))
        step = float(np.median(np.diff(crop.points[:, 0, 0])))
        seconds, shown = crop.truth[:, ELAPSED], crop.truth[:, CLASS] < 2
        rising = np.diff(seconds)[shown[1:] & shown[:-1] & (seconds[:-1] > 0)]
        if len(rising) > 10:
            assert float(rising.mean()) == pytest.approx(1 / 25, rel=0.15), (
                f"a second of the crop, at {step:.1f} frames"
            )


def test_spliced_crops_hold_gestures_of_several_recordings_whole(store: ClipStore) -> None:
    options = CropOptions(**(vars(PLAIN) | {"splice": 1.0}))
    met = set()
    for seed in range(10):
        crop = crops(store, frames=400, options=options).crop(1, np.random.default_rng(seed))
        met |= set(crop.truth[:, CLASS].astype(int))
        jumps = np.abs(np.diff(crop.points[:, 0, 0]))
        assert jumps.max() < 50, "the body moves over, it does not jump"
        shown = crop.truth[:-1, CLASS] < 2
        begins = shown & (np.roll(crop.truth[:-1, CLASS], 1) != crop.truth[:-1, CLASS])
        assert (crop.truth[:-1, ELAPSED][begins][1:] <= 0.1).all(), "gestures begin with their first frame"
    assert met == {0, 1, 2}


def test_whole_recordings_come_at_the_models_rate(store: ClipStore) -> None:
    crop = whole_recording(store, 0, rate=25.0, options=PLAIN)
    np.testing.assert_allclose(crop.points[:, 3, 1], np.arange(200) * 2.0)
    np.testing.assert_array_equal(crop.truth[:, CLASS], frame_truth(store, 0, PLAIN)[::2, CLASS])
    slow = whole_recording(store, 0, rate=30.0, options=PLAIN)
    np.testing.assert_allclose(slow.points[:239, 0, 0], np.arange(239) * 5 / 3, atol=1e-3)


def test_the_same_numbers_draw_the_same_crop(store: ClipStore) -> None:
    made = [crops(store, options=CropOptions()).crop(2, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(made[0].points, made[1].points)
    np.testing.assert_array_equal(made[0].truth, made[1].truth)


def test_a_lost_hand_is_missing_and_missing_points_stay_missing(store: ClipStore) -> None:
    options = CropOptions(**(vars(PLAIN) | {"lost": 1.0}))
    crop = crops(store, options=options).crop(0, np.random.default_rng(0))
    gone = np.isnan(crop.points).all(axis=(1, 2))
    assert 1 <= gone.sum() <= 15 and not np.isnan(crop.points[~gone]).any()


def test_spliced_parts_have_a_pace_of_their_own(store: ClipStore) -> None:
    options = CropOptions(**(vars(PLAIN) | {"splice": 1.0, "pace": 1.0}))
    crop = crops(store, frames=400, options=options).crop(1, np.random.default_rng(3))
    steps = np.abs(np.diff(crop.points[:, 0, 0]))
    inside = (crop.truth[1:, CLASS] < 2) & (crop.truth[:-1, CLASS] == crop.truth[1:, CLASS])
    paces = np.unique(steps[inside].round(1))
    assert len(paces) > 1 and paces.min() >= 0.9 and paces.max() <= 4.1, "two recorded frames a crop's at pace 1"


def test_a_picture_shows_depth_from_the_centre_alone(store: ClipStore) -> None:
    made = {}
    for share in (0.0, 1.0):
        options = CropOptions(**(vars(PLAIN) | {"webcam": share, "offset": 1e-6}))
        made[share] = crops(store, options=options).crop(0, np.random.default_rng(1)).points
    seen = ~np.isnan(made[1.0]).any(axis=(1, 2))
    np.testing.assert_allclose(made[1.0][seen][..., 0], made[0.0][seen][..., 0], atol=1e-3)
    assert np.ptp(made[0.0][:, 0, 2]) > 100
    assert np.abs(made[1.0][seen][:, 0, 2]).max() < 1, "the way in depth is not seen"


def test_a_picture_is_taken_from_any_height_and_loses_what_is_fast(store: ClipStore) -> None:
    options, missing, heights = CropOptions(**(vars(PLAIN) | {"webcam": 1.0, "offset": 1e-6})), 0, set[float]()
    for seed in range(8):
        made = crops(store, options=options).crop(0, np.random.default_rng(seed)).points
        plain = crops(store, options=PLAIN).crop(0, np.random.default_rng(seed)).points
        gone = np.isnan(made).all(axis=(1, 2))
        assert not np.isnan(made[~gone]).any(), "a hand is found or is not"
        missing += int(gone.sum())
        if not gone.all():
            heights.add(round(float(np.ptp(made[~gone][..., 1]) - np.ptp(plain[~gone][..., 1])), 1))
    assert missing > 0 and len(heights) > 3


def test_a_crop_in_a_mirror_shows_the_other_direction(tmp_path: Path) -> None:
    spans = (Annotation("swipe_left", 0, 199), Annotation("tap", 200, 399))
    with writing_store(
        tmp_path / "store", layout=LAYOUT, units="metres", labels=("swipe_left", "swipe_right", "tap")
    ) as writer:
        way = np.arange(400.0)[None, :, None, None] * np.array([1.0, 0.0, 0.0]) + np.zeros((1, 400, 20, 3))
        clip = SkeletonClip.from_points(way, layout=LAYOUT, fps=FPS, units="metres", split="train", spans=spans)
        writer.add(clip)
    store, shown = ClipStore.open(tmp_path / "store"), set()
    for seed in range(20):
        crop = StreamCrops(
            store, np.arange(1), frames=100, rate=25.0, ranges=Augment(mirror=0.5), options=PLAIN, noise=0.0
        ).crop(0, np.random.default_rng(seed))
        rightwards = float(np.nansum(np.diff(crop.points[:, 0, 0]))) > 0
        swipes = set(crop.truth[crop.truth[:, WEIGHT] > 0, CLASS].astype(int)) - {2, 3}
        assert swipes <= ({0} if rightwards else {1})
        shown |= swipes
    assert shown == {0, 1}
