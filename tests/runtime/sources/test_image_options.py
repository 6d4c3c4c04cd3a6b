"""Images turned, flipped and timed as the user says, before anybody sees them; frames in the order of their numbers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from last_edge.errors import UsageError
from last_edge.runtime.sources import ImageOptions, Source, open_source
from last_edge.skeleton import get_layout

HAND = get_layout("mediapipe_hand21")


def open_(text: object, **how: object) -> Source:
    return open_source(str(text), layout=HAND, images=ImageOptions(**how))  # type: ignore[arg-type]


def write_frames(folder: Path, names: list[str]) -> Path:
    """Images of 4 x 6 whose grey is ten times their place in `names`."""
    folder.mkdir()
    for place, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((4, 6, 3), place * 10, np.uint8))
    return folder


def greys(source: Source) -> list[int]:
    return [int(frame.image[0, 0, 0]) // 10 for frame in source if frame.image is not None]


def test_frames_are_played_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    plain = write_frames(tmp_path / "plain", [f"frame{number}.png" for number in range(12)])
    padded = write_frames(tmp_path / "padded", [f"{number:05d}.png" for number in range(12)])
    mixed = write_frames(tmp_path / "mixed", ["take2_1.png", "take2_10.png", "take10_2.png"])
    assert greys(open_(plain)) == greys(open_(padded)) == list(range(12))
    assert greys(open_(mixed)) == [0, 1, 2]


def test_a_folder_of_images_has_the_rate_that_is_said_and_tells_when_none_is(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", ["0.png", "1.png", "2.png"])
    said = open_(folder, fps=12.5)
    assert said.fps == 12.5 and [frame.timestamp_s for frame in said] == [0, 0.08, 0.16] and said.describe() == ""
    assert open_(folder).fps == 30 and "--fps" in open_(folder).describe()


@pytest.mark.parametrize(
    ("how", "corner", "shape"),
    [
        ({}, "tl", (4, 6)),
        ({"flip": True}, "tr", (4, 6)),
        ({"rotate": 90}, "tr", (6, 4)),
        ({"rotate": 180}, "br", (4, 6)),
        ({"rotate": 270}, "bl", (6, 4)),
        ({"rotate": 90, "flip": True}, "tl", (6, 4)),
    ],
)
def test_images_are_turned_clockwise_and_then_flipped(
    tmp_path: Path, how: dict[str, object], corner: str, shape: tuple[int, int]
) -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[0, 0] = 255
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames" / "0.png"), image)
    (frame,) = open_(tmp_path / "frames", **how)
    assert frame.image is not None and frame.image.shape[:2] == shape and frame.image.flags.c_contiguous
    row, column = {"t": 0, "b": -1}[corner[0]], {"l": 0, "r": -1}[corner[1]]
    assert frame.image[row, column, 0] == 255 and int(frame.image[..., 0].sum()) == 255


def test_a_video_is_turned_and_keeps_its_own_times_unless_a_rate_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    for _ in range(4):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    with open_(path, rotate=270) as source:
        frames = list(source)
    assert frames[0].image is not None and frames[0].image.shape == (64, 48, 3)
    np.testing.assert_allclose([frame.timestamp_s for frame in frames], np.arange(4) / 25, atol=1e-6)
    with open_(path, fps=10) as source:
        np.testing.assert_allclose([frame.timestamp_s for frame in source], np.arange(4) / 10)
        assert source.fps == 10


def test_what_images_cannot_be_done_is_refused() -> None:
    with pytest.raises(UsageError, match="right angles"):
        ImageOptions(rotate=45)  # type: ignore[arg-type]
    for fps in (0.0, -1.0, float("nan"), float("inf"), 1000.0):
        with pytest.raises(UsageError, match="not a frame rate"):
            ImageOptions(fps=fps)
    with pytest.raises(UsageError, match="gives points, not images"):
        open_("synthetic", flip=True)
    with pytest.raises(UsageError, match="at its own rate"):
        open_("rtsp://camera/stream", fps=10)
