"""What is drawn, and that nothing missing is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.errors import UsageError
from last_edge.runtime.recognise.decoding import Event, Guess, Prediction
from last_edge.runtime.view import drawing, presenter
from last_edge.runtime.view.drawing import BLANK, JOINT
from last_edge.runtime.view.presenter import Overlay, Snapshot, VideoWriter
from last_edge.skeleton import get_layout
from last_edge.skeleton.clip import Units

HAND = get_layout("mediapipe_hand21")
PREDICTION = Prediction(0.0, 1.0, (Guess("swipe", 0.8), Guess("tap", 0.2)))


def drawn(points: np.ndarray, *, units: Units = "image01", image: np.ndarray | None = None) -> np.ndarray:
    overlay = Overlay(HAND, units)
    return overlay.draw(image, points, time_s=0.0, prediction=None, event=None, milliseconds={})


def joints_drawn(image: np.ndarray) -> int:
    return int((image == JOINT).all(axis=-1).sum())


def test_a_joint_lies_where_it_was_seen() -> None:
    points = np.full((1, 21, 3), np.nan, np.float32)
    points[0, 0] = (1.0, 0.25, 0.0)
    image = np.zeros((400, 800, 3), np.uint8)
    result = drawn(points, image=image)
    assert tuple(result[100, 400]) == JOINT
    assert not image.any()


def test_missing_points_draw_nothing() -> None:
    assert joints_drawn(drawn(np.full((1, 21, 3), np.nan, np.float32))) == 0


def test_points_in_metres_are_brought_into_view() -> None:
    points = np.random.default_rng(0).normal(0, 0.05, (1, 21, 3)).astype(np.float32) + 7
    result = drawn(points, units="metres")
    assert result.shape == BLANK and joints_drawn(result) > 21


def test_prediction_event_and_timings_change_the_picture() -> None:
    points = np.full((1, 21, 3), np.nan, np.float32)
    overlay = Overlay(HAND, "image01")
    event = Event("swipe", 0.8, 0.0, 1.0)
    with_event = overlay.draw(
        None, points, time_s=1.0, prediction=PREDICTION, event=event, milliseconds={"landmarks": 8.0}
    )
    later = overlay.draw(None, points, time_s=9.0, prediction=PREDICTION, event=None, milliseconds={"landmarks": 8.0})
    right_top = (slice(0, 100), slice(800, None))
    assert with_event[right_top].max() > 200 and later[right_top].max() < 100


def test_saved_video_has_every_frame_and_no_partial(tmp_path: Path) -> None:
    import cv2

    writer = VideoWriter(tmp_path / "out.mp4", fps=25)
    for _ in range(6):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    assert not (tmp_path / "out.mp4").exists()
    writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 6


def test_discarded_video_leaves_nothing(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out.avi", fps=25)
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_unknown_kind_of_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot save a video of this kind"):
        VideoWriter(tmp_path / "out.gif", fps=25)


def test_snapshot_keeps_the_surest_frame(tmp_path: Path) -> None:
    import cv2

    snapshot = Snapshot(tmp_path / "best.png")
    for shade, probability in ((10, 0.0), (20, 0.9), (30, 0.5)):
        snapshot.offer(np.full((8, 8, 3), shade, np.uint8), probability)
    snapshot.finish()
    picture = cv2.imread(str(tmp_path / "best.png"))
    assert picture is not None and picture.mean() == 20
    with pytest.raises(UsageError, match="cannot save a picture"):
        Snapshot(tmp_path / "best.bmp")


def test_other_scripts_are_drawn_with_a_font_that_has_them_or_said_in_ascii() -> None:
    canvas = np.zeros((720, 1280, 3), np.uint8)
    drawing.text(canvas, "привет", (0.1, 0.5), size=1.0)
    assert canvas.any() and canvas[360 - 40 : 360 + 20].any()
    assert drawing.plain("naïve") == "naive"
    assert drawing.plain("नमस्ते").strip("?") == "" and drawing.plain("wave") == "wave"
    drawing.text(canvas, "привет", (0.999, 0.001), size=4.0)  # partly outside


def test_arabic_is_shaped_and_runs_from_right_to_left() -> None:
    from PIL import features

    if not features.check("raqm") or drawing.font_for("مرحبا", 30) is None:
        pytest.skip("no libraqm, or no font with Arabic letters, on this machine")
    word, apart = drawing.strip("مرحبا", 30), drawing.strip("م ر ح ب ا", 30)
    assert word is not None and apart is not None and word.shape[1] < 0.8 * apart.shape[1]  # letters join
    assert drawing.strip("\U0010fffe", 30) is None  # no font has it


def test_why_an_answer_is_no_event_is_shown_and_what_may_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(presenter, "text", lambda canvas, words, *given, **named: said.append(words))
    points = np.full((1, 21, 3), np.nan, np.float32)
    hud = presenter.Hud(gestures=("wave", "fist"), refused="wave 41%, below 60%")
    seen = Prediction(0.0, 1.0, (Guess("wave", 0.41),))
    drawn: dict[str, Any] = {"time_s": 1.0, "event": None, "milliseconds": {}, "hud": hud}
    Overlay(get_layout("mediapipe_hand21"), "image01").draw(None, points, prediction=seen, **drawn)
    assert "wave 41%, below 60%" in said and not any("try" in words for words in said)
    said.clear()
    Overlay(get_layout("mediapipe_hand21"), "image01").draw(None, points, prediction=None, **drawn)
    assert "try: wave, fist" in said and "wave 41%, below 60%" not in said
