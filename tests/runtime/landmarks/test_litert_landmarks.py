"""LiteRT's landmarks beside MediaPipe's on real clips, and the geometry they stand on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from last_edge.errors import MissingError, UsageError
from last_edge.runtime import landmarks
from last_edge.runtime.landmarks import Detector, create_landmarks, models
from last_edge.runtime.landmarks.litert import network
from last_edge.runtime.landmarks.litert.hands import STRIDES, HandTracker
from last_edge.runtime.landmarks.litert.network import Region
from last_edge.runtime.landmarks.litert.pose import STRIDES as POSE_STRIDES
from last_edge.runtime.landmarks.litert.pose import OneEuro, refined
from last_edge.runtime.landmarks.mediapipe import what_it_sends
from last_edge.runtime.sources.video import VideoSource
from last_edge.tools.bench.landmarks import TO_THE_WAIST, alone, apart, both, itself, step_by_step
from last_edge.tools.cli.doctor import find_data

CLIPS = sorted((find_data("clips") or Path()).glob("*.mp4"))
SHORT = "how2sign_0fO5ETSwyg_1-5.mp4"


def needs(*names: str) -> None:
    pytest.importorskip("ai_edge_litert")
    absent = [name for name in names if not (models.cache_folder() / models.MODELS[name].file).is_file()]
    if absent:
        pytest.skip(f"needs `last-edge models fetch {absent[0]}`")


def clip(name: str) -> Path:
    found = [path for path in CLIPS if path.name == name]
    if not found:
        pytest.skip("needs real clips: set LAST_EDGE_DATA")
    return found[0]


def frames(path: Path, count: int | None = None) -> Iterator[tuple[np.ndarray, float]]:
    with VideoSource(path) as video:
        for frame in islice(video, count):
            if frame.image is not None:
                yield frame.image, frame.timestamp_s


def pair(path: Path, detector: Detector, hand: str = "first") -> tuple[np.ndarray, np.ndarray]:
    """(T, V, 3) points by MediaPipe and by LiteRT, where both are here."""
    pytest.importorskip("mediapipe")
    needs(detector)
    return both(path, detector, hand=hand)


def test_a_hand_is_followed_as_mediapipe_follows_it() -> None:
    theirs, ours = pair(clip(SHORT), "hand")
    assert (np.isnan(theirs[:, 0, 0]) == np.isnan(ours[:, 0, 0])).all()
    assert np.median(apart(theirs, ours).max(1)) < 0.001 and apart(theirs, ours).max() < 0.01


def test_a_hand_among_others_begins_as_mediapipe_begins_it() -> None:
    pytest.importorskip("mediapipe")
    needs("hand")
    (image, seconds), *_ = frames(clip("how2sign_93xgBE3NgA_2-5.mp4"), 1)
    with (
        closing(create_landmarks("hand", by="mediapipe")) as mediapipe,
        closing(create_landmarks("hand", by="litert")) as litert,
    ):
        theirs, ours = mediapipe(image, seconds), litert(image, seconds)
    assert apart(theirs[None], ours[None]).max() < 0.002


def test_each_step_of_a_hand_is_mediapipes() -> None:
    pytest.importorskip("mediapipe")
    needs("hand")
    distances = apart(*step_by_step(clip(SHORT)))
    assert len(distances) > 20 and distances.max() < 0.0005


@pytest.mark.parametrize("hand", ["left", "right"])
def test_a_side_is_the_same_hand(hand: str) -> None:
    theirs, ours = pair(clip(SHORT), "hand", hand=hand)
    assert np.median(apart(theirs, ours).max(1)) < 0.003


def test_a_body_is_followed_as_mediapipe_follows_it() -> None:
    theirs, ours = pair(clip(SHORT), "pose")
    assert len(apart(theirs, ours)) == len(theirs)
    worst = apart(theirs[:, TO_THE_WAIST], ours[:, TO_THE_WAIST]).max(1)
    assert np.median(worst) < 0.003 and worst.max() < 0.01


def test_a_body_in_one_frame_is_mediapipes() -> None:
    pytest.importorskip("mediapipe")
    needs("pose")
    assert apart(*alone(clip(SHORT), every=13)).max() < 0.002


def test_holistic_joins_body_and_hands() -> None:
    needs("hand", "pose")
    holistic = create_landmarks("holistic", by="litert")
    points = np.stack([holistic(*frame) for frame in frames(clip(SHORT), 3)])
    holistic.close()
    assert points.shape == (3, 75, 3)
    for first, wrist in ((33, 15), (54, 16)):
        assert np.nanmax(np.linalg.norm(points[:, first, :2] - points[:, wrist, :2], axis=-1)) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.name)
def test_every_clip_shows_the_same_hand(path: Path) -> None:
    theirs, ours = pair(path, "hand")
    distances, lost = apart(theirs, ours).max(1), np.isnan(ours[:, 0, 0]).sum() - np.isnan(theirs[:, 0, 0]).sum()
    assert apart(*step_by_step(path)).max() < 0.001
    # Over a video a hand that blurs parts further, and MediaPipe from itself where the two begin all but alike.
    assert np.median(distances) < 0.003 and (distances < 0.01).mean() > 0.8
    assert lost <= 1


@pytest.mark.slow
@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.name)
def test_every_clip_shows_the_same_body(path: Path) -> None:
    theirs, ours = pair(path, "pose")
    points = apart(theirs[:, TO_THE_WAIST], ours[:, TO_THE_WAIST])
    assert len(points) == len(theirs)
    own = apart(theirs[:, TO_THE_WAIST], itself(path, "pose")[:, TO_THE_WAIST])
    assert np.median(points) < max(0.003, 1.5 * np.median(own)) and np.quantile(points, 0.95) < 0.01
    assert apart(*alone(path, every=20)).max() < 0.002


def test_an_image_without_anyone_has_no_points() -> None:
    needs("hand_lite")
    source = create_landmarks("hand_lite", by="litert")
    points = source(np.zeros((120, 160, 3), np.uint8), 0.0)
    assert points.shape == (21, 3) and np.isnan(points).all()


def test_the_palm_detector_rests_between_its_turns() -> None:
    needs("hand_lite")
    tracker = HandTracker(models.model_path("hand_lite"), hands=2, detect_every=3)
    calls = []
    detector = tracker._detector
    tracker._detector = lambda image: calls.append(1) or detector(image)  # type: ignore[assignment, func-returns-value]
    images = [image[..., ::-1] for image, _ in frames(clip(SHORT), 6)]
    one_hand = [tracker(image)[:1] for image in images]
    assert all(one_hand) and len(calls) < 6


def test_the_palm_detector_rests_only_where_it_looks_for_further_hands() -> None:
    for by, how in (("mediapipe", {"hand": "left"}), ("litert", {"hand": "first"})):
        with pytest.raises(UsageError, match="nobody looks for further hands here"):
            create_landmarks("hand", by=by, detect_every=5, **how)  # type: ignore[arg-type]
    needs("hand")
    source = create_landmarks("hand", by="litert", detect_every=5, hand="left")
    assert source._tracker.detect_every == 5  # type: ignore[attr-defined]


def test_auto_takes_mediapipe_where_it_is_and_else_litert(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"mediapipe", "ai_edge_litert"}
    monkeypatch.setattr(landmarks, "find_spec", lambda name: name if name in here else None)
    assert landmarks.library_here() == "mediapipe"
    here.remove("mediapipe")
    assert landmarks.library_here() == "litert"
    here.clear()
    with pytest.raises(MissingError, match="nothing that finds landmarks") as caught:
        landmarks.library_here()
    assert caught.value.exit_code == 5


@pytest.mark.slow
@pytest.mark.parametrize("model", ["pose_lite", "pose_heavy"])
def test_the_other_bodies_by_name_are_mediapipes_too(model: Detector) -> None:
    pytest.importorskip("mediapipe")
    needs(model)
    ours, theirs = create_landmarks(model, by="litert"), create_landmarks(model, by="mediapipe")
    assert ours.model == model and ours.layout.name == "mediapipe_pose33"
    pairs = [
        (theirs(image, seconds).reshape(-1, 33, 3)[0], ours(image, seconds))
        for image, seconds in frames(clip(SHORT), 20)
    ]
    distance = apart(*(np.stack(side)[:, TO_THE_WAIST] for side in zip(*pairs, strict=True)))
    assert len(distance) == 20 and float(np.median(distance)) < 0.004


@pytest.mark.parametrize(
    ("version", "sends"), [("0.10.18", False), ("0.10.33", False), ("0.10.35", True), ("1.2.2", True)]
)
def test_a_mediapipe_that_reports_is_taken_by_name_alone(
    version: str, sends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    here = {"mediapipe", "ai_edge_litert"}
    monkeypatch.setattr(landmarks, "find_spec", lambda name: name if name in here else None)
    assert (f"MediaPipe {version} reports its use to Google" in what_it_sends()) is sends
    assert landmarks.library_here() == ("litert" if sends else "mediapipe")
    here.remove("ai_edge_litert")
    if sends:
        with pytest.raises(MissingError, match="keeps it to itself") as caught:
            landmarks.library_here()
        assert "--landmarks-by mediapipe" in str(caught.value.hint)


def test_face_points_are_refused_with_what_gives_them() -> None:
    with pytest.raises(UsageError, match="no face points"):
        create_landmarks("holistic", by="litert", layout="mediapipe_holistic83")


@pytest.mark.parametrize(("strides", "size", "count"), [(STRIDES, 192, 2016), (POSE_STRIDES, 224, 2254)])
def test_anchors_are_as_many_as_the_networks_answers(strides: tuple[int, ...], size: int, count: int) -> None:
    made = network.anchors(size, strides)
    assert made.shape == (count, 2) and made.min() > 0 and made.max() < 1


@pytest.mark.parametrize("angle", [0.0, 0.3, -2.0])
def test_what_is_cut_out_comes_back_to_its_place(angle: float) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[118:123, 158:163] = 255
    window = Region(150, 110, 80, 80, angle)
    rows, columns, _ = np.nonzero(network.cut(image, window, 160))
    own = np.array([[columns.mean() / 160, rows.mean() / 160, 0.5]], np.float32)
    np.testing.assert_allclose(window.to_image(own), [[160, 120, 40]], atol=0.6)


def test_around_holds_its_points_and_no_more() -> None:
    points = np.random.default_rng(0).normal(size=(21, 2)).astype(np.float32) * [40, 10] + [100, 50]
    for angle in (0.0, 0.7, -1.9):
        window = network.around(points, angle)
        own = (points - [window.x, window.y]) @ window.axes / [window.width, window.height]
        np.testing.assert_allclose([own.min(0), own.max(0)], [[-0.5, -0.5], [0.5, 0.5]], atol=1e-4)


def test_a_direction_is_upright_for_a_hand_that_points_up() -> None:
    wrist, finger = np.array([5.0, 9.0]), np.array([5.0, 2.0])
    assert network.direction(wrist, finger) == pytest.approx(0.0)
    assert network.direction(finger, wrist) == pytest.approx(-math.pi)


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_a_cut_is_sampled_as_opencv_4_samples_it(angle: float) -> None:
    # At 32nds of a pixel: a ramp of 32 levels a pixel shows each step, and nothing finer.
    ramp = np.repeat(np.minimum(np.arange(64) * 32, 255).astype(np.uint8)[None], 64, 0)[..., None].repeat(3, -1)
    window = Region(4.0, 30.0, 4.0, 4.0, angle)
    seen = network.cut(ramp, window, 256)[..., 0].astype(float)
    steps = (np.arange(256) / 256 - 0.5) * 4.0
    x = 4.0 + steps[None] * math.cos(angle) - steps[:, None] * math.sin(angle)
    np.testing.assert_array_equal(seen, np.clip(np.rint(x * 32), 0, 255))


def test_detections_of_one_object_are_merged_by_score() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [40, 40, 50, 50]], np.float32)
    points = boxes.reshape(3, 2, 2)
    first, second = network._merged(boxes, points, np.array([0.75, 0.25, 0.2], np.float32), same=0.3)
    np.testing.assert_allclose(first.box, [0.25, 0, 10.25, 10])
    assert first.score == pytest.approx(0.75) and second.box[0] == 40


def test_the_filter_holds_still_points_and_follows_fast_ones() -> None:
    still, fast = OneEuro(least_cutoff=0.05, beta=80.0), OneEuro(least_cutoff=0.05, beta=80.0)
    random = np.random.default_rng(0)
    noisy = np.concatenate([still(random.normal(0, 0.1, 1).astype(np.float32), t / 30, 200.0) for t in range(90)])
    assert noisy[30:].std() < 0.04
    moved = [float(fast(np.array([20.0 * t], np.float32), t / 30, 200.0)[0]) for t in range(30)]
    assert abs(moved[-1] - 580) < 10


def test_a_sure_heat_map_moves_its_point() -> None:
    heatmap = np.full((64, 64, 2), -20.0, np.float32)
    heatmap[30, 33, 0] = 20.0
    points = np.array([[0.5, 0.5, 0.1], [0.5, 0.5, 0.1]], np.float32)
    moved = refined(points, heatmap)
    np.testing.assert_allclose(moved[0], [33 / 64, 30 / 64, 0.1], atol=1e-4)
    np.testing.assert_array_equal(moved[1], points[1])
