"""Sources: frames counted and timed, and bad ones refused with their reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from last_edge.clips import writing_store
from last_edge.errors import InputError, MissingError, UsageError
from last_edge.runtime.sources import Source, open_source
from last_edge.runtime.sources.points import SyntheticSource
from last_edge.runtime.sources.video import VideoSource, forward
from last_edge.skeleton import SkeletonClip, get_layout

HAND = get_layout("mediapipe_hand21")


def write_video(path: Path, *, frames: int, fps: float = 25.0) -> Path:
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    for frame in range(frames):
        writer.write(np.full((48, 64, 3), frame % 25 * 10, np.uint8))
    writer.release()
    return path


def open_(text: object) -> Source:
    return open_source(str(text), layout=HAND)


def test_video_yields_every_frame_at_its_time(tmp_path: Path) -> None:
    with open_(write_video(tmp_path / "a.avi", frames=7)) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(7))
    np.testing.assert_allclose([frame.timestamp_s for frame in frames], np.arange(7) / 25, atol=1e-6)
    assert source.announced_frames == 7 and source.fps == 25 and source.layout is None
    assert frames[6].image is not None and abs(int(frames[6].image.mean()) - 60) < 3


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty"), (b"this is no video" * 99, "not a video"), (None, "no such video")]
)
def test_unreadable_videos_are_refused_by_name(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "bad.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        open_(path)
    assert caught.value.where == str(path) and caught.value.exit_code == 3


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "none.avi", frames=0)
    with pytest.raises(InputError) as caught:
        open_(path)
    assert caught.value.where == str(path)


def test_a_truncated_video_gives_the_frames_it_has(tmp_path: Path) -> None:
    path = write_video(tmp_path / "cut.avi", frames=40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_(path) as source:
        assert 0 < len(list(source)) < 40


def test_time_never_stands_still() -> None:
    assert forward(0.0, float("nan"), 0, 25) == 0.0
    assert forward(1.0, 1.2, 3, 25) == 1.2
    assert forward(1.0, 1.0, 3, 25) == pytest.approx(1.04)
    assert forward(1.0, 0.2, 3, 25) == pytest.approx(1.04)


def test_absent_camera_and_misnamed_camera() -> None:
    with pytest.raises(MissingError, match="camera 97 is absent") as caught:
        open_("cam:97")
    assert caught.value.exit_code == 5
    with pytest.raises(UsageError, match="camera is named by its number"):
        open_("cam:front")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with writing_store(tmp_path / "store", layout=HAND, units="image01", labels=("a", "b")) as writer:
        for number, frames in enumerate((3, 5)):
            points = np.full((1, frames, 21, 3), number, np.float32)
            label, name = "ab"[number], f"clip{number}"
            clip = SkeletonClip.from_points(points, layout=HAND, fps=10, units="image01", label=label, source_id=name)
            writer.add(clip)
    return tmp_path / "store"


def test_store_plays_its_clips_one_after_another(store: Path) -> None:
    with open_(f"store:{store}") as source:
        frames = list(source)
    assert source.announced_frames == len(frames) == 8
    assert [(frame.clip, frame.label) for frame in frames[2:4]] == [("clip0", "a"), ("clip1", "b")]
    times = [frame.timestamp_s for frame in frames]
    np.testing.assert_allclose(np.diff(times), [0.1, 0.1, 1.1, 0.1, 0.1, 0.1, 0.1])


def test_store_plays_one_clip_by_number(store: Path) -> None:
    with open_(f"store:{store}#1") as source:
        assert [frame.clip for frame in source] == ["clip1"] * 5
    for wrong in ("2", "-1", "x"):
        with pytest.raises(InputError, match="no such clip"):
            open_(f"store:{store}#{wrong}")


def test_synthetic_motion_is_the_same_every_time_and_hides_now_and_then() -> None:
    first, second = (list(SyntheticSource(HAND, seconds=4)) for _ in range(2))
    shown = [frame.points for frame in first if frame.points is not None]
    assert len(shown) == 120 and shown[0].shape == (1, 21, 3)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.points, other.points)
    hidden = [bool(np.isnan(points).all()) for points in shown]
    assert sum(hidden) == 12 and not np.isnan(shown[0]).any()


def test_damaged_pose_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.pose").write_bytes(b"\x00\x01\x02")
    for text in (f"replay:{tmp_path / 'bad.pose'}", str(tmp_path / "bad.pose"), "replay:absent.pose"):
        with pytest.raises(InputError):
            open_(text)


def test_video_source_closes_its_file(tmp_path: Path) -> None:
    source = VideoSource(write_video(tmp_path / "a.avi", frames=2))
    source.close()
    assert [frame.index for frame in source] == [0]


def with_pixels(video: bytes, wide: int, high: int) -> bytes:
    """An .mp4 that says how its pixels are shaped: a `pasp` box more, and each box about it as much longer."""
    added = (16).to_bytes(4, "big") + b"pasp" + wide.to_bytes(4, "big") + high.to_bytes(4, "big")

    def inside(box: bytes, way: list[tuple[bytes, int]]) -> bytes:
        if not way:
            return box + added
        (name, skipped), *rest = way
        at = skipped
        while box[at + 4 : at + 8] != name:
            at += int.from_bytes(box[at : at + 4], "big")
        end = at + int.from_bytes(box[at : at + 4], "big")
        content = inside(box[at + 8 : end], rest)
        return box[:at] + (len(content) + 8).to_bytes(4, "big") + name + content + box[end:]

    names = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"mp4v")
    return inside(video, [(name, 8 if name == b"mp4v" else 0) for name in names])


@pytest.mark.parametrize(("wide", "high", "size"), [(2, 1, (64, 192)), (1, 2, (64, 48)), (1, 1, (64, 96))])
def test_pixels_that_are_not_square_are_stretched(tmp_path: Path, wide: int, high: int, size: tuple[int, int]) -> None:
    import cv2

    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (96, 64))
    for frame in range(8):
        writer.write(np.full((64, 96, 3), 20 * frame, np.uint8))
    writer.release()
    path.write_bytes(with_pixels(path.read_bytes(), wide, high))
    with open_source(str(path), layout=get_layout("mediapipe_hand21")) as source:
        frames = list(source)
        assert {frame.image.shape[:2] for frame in frames if frame.image is not None} == {size} and len(frames) == 8
        assert ("not square" in source.describe()) == (wide != high)
