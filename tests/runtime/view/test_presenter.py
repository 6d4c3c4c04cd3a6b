"""The window, drawn on arrays: what each key does, what is mirrored, and what is said when nobody is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.bundle import rewrite_bundle
from last_edge.data.readers.npz import read_npz
from last_edge.runtime.pipeline.run import RunOptions, run
from last_edge.runtime.recognise.decoding import Event
from last_edge.runtime.sources import Frame
from last_edge.runtime.view import presenter as presenting
from last_edge.runtime.view.drawing import JOINT
from last_edge.runtime.view.presenter import HAND_HINT, KEYS, Hud, Overlay, Presenter, draw_hud
from last_edge.runtime.view.window import ESCAPE, Controls
from last_edge.skeleton import get_layout

HAND = get_layout("mediapipe_hand21")
MakeBundle = Callable[..., Path]


class Screen:
    """A display that remembers what it showed and presses the next of `keys` at each frame."""

    def __init__(self, keys: Iterator[int]) -> None:
        self.keys, self.shown, self.closed = keys, [], False
        self.shown: list[np.ndarray]

    def show(self, image: np.ndarray, *, wait_ms: int = 1) -> int:
        self.shown.append(image)
        return next(self.keys, -1)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Screen]:
    """`screen("m", "", "q")` is a display on which these keys are pressed, one a frame."""

    def make(*keys: str) -> Screen:
        one = Screen(iter([ord(key) if key else -1 for key in keys]))
        monkeypatch.setattr(presenting, "has_screen", lambda: True)
        monkeypatch.setattr(presenting, "Display", lambda: one)
        return one

    return make


def shown(presenter: Presenter, time_s: float = 0.0, *, seen: bool = True, event: Event | None = None) -> bool:
    """One frame of a black picture whose right part holds the only joint."""
    points = np.full((1, 21, 3), np.nan, np.float32)
    points[0, 0] = (1.5, 0.3, 0.0)
    frame = Frame(0, time_s, image=np.zeros((360, 640, 3), np.uint8))
    return presenter.show(frame, points, prediction=None, event=event, milliseconds={}, seen=seen, badge="cpu  int8")


def joint_side(image: np.ndarray) -> str:
    columns = np.flatnonzero((image == JOINT).all(-1).any(0))
    return "right" if columns.mean() > image.shape[1] / 2 else "left"


def test_m_mirrors_the_picture_and_never_the_points_or_what_is_saved(
    screen: Callable[..., Screen], tmp_path: Path
) -> None:
    one = screen("m", "", "m", "")
    snapshot = tmp_path / "saved.png"
    with Presenter(HAND, "image01", window=True, snapshot=snapshot) as presenter:
        assert all(shown(presenter) for _ in range(4))
    assert [joint_side(image) for image in one.shown] == ["right", "left", "left", "right"]
    import cv2

    assert joint_side(cv2.imread(str(snapshot))) == "right" and one.closed


def test_texts_are_not_mirrored() -> None:
    canvas = np.zeros((360, 640, 3), np.uint8)
    points = np.full((1, 21, 3), np.nan, np.float32)
    how = {"time_s": 0.0, "prediction": None, "event": None, "milliseconds": {}}
    plain, mirrored = (
        Overlay(HAND, "image01").draw(canvas, points, hud=Hud(mirrored=mirrored, badge="cpu"), **how)  # type: ignore[arg-type]
        for mirrored in (False, True)
    )
    np.testing.assert_array_equal(plain, mirrored)


def test_space_pauses_until_space_and_q_or_escape_end(screen: Callable[..., Screen]) -> None:
    one = screen(" ", "", "", " ", "", "q")
    presenter = Presenter(HAND, "image01", window=True)
    assert shown(presenter) and len(one.shown) == 4
    assert shown(presenter) and not shown(presenter)
    for key in (ord("q"), ESCAPE):
        controls = Controls({}, mirrored=False)
        controls.press(key)
        assert controls.stopped


def test_a_message_stays_for_two_seconds_and_unknown_keys_do_nothing() -> None:
    now = [0.0]
    controls = Controls({"+": lambda: "more"}, mirrored=True, clock=lambda: now[0])
    controls.press(ord("="))
    assert controls.message == "more"
    now[0] = 2.1
    assert controls.message == ""
    for key in (-1, ord("x"), 255):
        controls.press(key)
    assert (controls.mirrored, controls.help, controls.paused, controls.stopped) == (True, False, False, False)


def test_s_saves_the_picture_that_is_shown(screen: Callable[..., Screen], tmp_path: Path) -> None:
    import cv2

    one = screen("s", "s")
    presenter = Presenter(HAND, "image01", window=True, keep=tmp_path)
    assert shown(presenter) and shown(presenter)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture-001.png", "picture-002.png"]
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "picture-001.png")), one.shown[0])


def test_a_hint_comes_when_nobody_was_seen_for_a_second_and_goes(
    screen: Callable[..., Screen], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen()
    hints: list[str] = []
    monkeypatch.setattr("last_edge.runtime.view.presenter.draw_hud", lambda canvas, hud: hints.append(hud.hint))
    presenter = Presenter(HAND, "image01", window=True)
    for time_s, seen in ((0.0, True), (0.5, False), (1.0, False), (2.0, False), (2.1, True)):
        shown(presenter, time_s, seen=seen)
    assert hints == ["", "", HAND_HINT, HAND_HINT, ""]


def test_the_transcript_keeps_the_last_words_and_the_rate_is_measured(
    screen: Callable[..., Screen], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen()
    huds: list[Hud] = []
    monkeypatch.setattr("last_edge.runtime.view.presenter.draw_hud", lambda canvas, hud: huds.append(hud))
    presenter = Presenter(HAND, "image01", window=True)
    for number in range(8):
        shown(presenter, float(number), event=Event(f"w{number}", 0.9, 0.0, number))
    assert huds[-1].transcript == ("w2", "w3", "w4", "w5", "w6", "w7") and huds[-1].badge == "cpu  int8"
    assert huds[0].fps is None and huds[-1].fps is not None and huds[-1].fps > 0


def test_every_part_of_the_hud_is_drawn_in_its_place() -> None:
    def lit(hud: Hud) -> tuple[bool, ...]:
        canvas = np.zeros((720, 1280, 3), np.uint8)
        draw_hud(canvas, hud)
        boxes = (canvas[:40, :600], canvas[60 : 90 + 36 * len(KEYS), :250], canvas[325:445, 256:], canvas[662:, 640:])
        return tuple(bool(box.any()) for box in boxes)

    assert lit(Hud()) == (False, False, False, False)
    assert lit(Hud(badge="cpu", fps=30.0)) == (True, False, False, False)
    assert lit(Hud(help=True)) == (False, True, False, False)
    assert lit(Hud(hint="come", message="paused")) == (False, False, True, False)
    assert lit(Hud(transcript=("a", "b"))) == (False, False, False, True)


def with_int8(bundle: Path) -> Path:
    """The bundle with its graph once more as its INT8 file."""
    opened = Bundle.open(bundle)
    rewrite_bundle(opened, opened.manifest, files={"model.int8.onnx": opened.graph("fp32")})
    return bundle


def test_keys_of_a_whole_run_swap_the_precision_move_the_threshold_and_save_a_clip(
    screen: Callable[..., Screen], make_bundle: MakeBundle, tmp_path: Path
) -> None:
    screen("p", "+", *[""] * 30, "c", "-", "p", "q")
    options = RunOptions(window=True, keep=tmp_path / "kept")
    summary = run(with_int8(make_bundle()), "synthetic", options=options)
    assert summary.stopped and summary.frames == 36
    assert summary.notices == ["precision int8 → fp32", "precision fp32 → int8"] and summary.precision == "int8"
    (clip,) = read_npz(tmp_path / "kept", layout="mediapipe_hand21")
    assert clip.frames == 33 and clip.fps == pytest.approx(30) and clip.units == "image01" and clip.label is None


def test_p_says_so_where_the_bundle_has_no_other_precision(
    screen: Callable[..., Screen], make_bundle: MakeBundle
) -> None:
    screen("p", "", "q")
    summary = run(make_bundle(), "synthetic", options=RunOptions(window=True))
    assert summary.precision == "fp32" and summary.notices == []
