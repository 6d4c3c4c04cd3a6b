"""Long recordings with a label a frame, as MediaPipe pose and of any layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.data.readers.npz import read_npz, spans_of
from last_edge.data.readers.pose_streams import read_pose_streams
from last_edge.errors import InputError
from last_edge.skeleton import Annotation

LABELS = ["idle"] * 3 + ["swipe"] * 4 + ["spin"] * 2 + ["idle"] + ["swipe"] * 5


def arrays(**changes: Any) -> dict[str, Any]:
    pose = np.random.default_rng(0).random((15, 33, 4)).astype(np.float32)
    about = {"frame_labels": np.array(LABELS), "lengths": np.array([10, 5]), "subjects": np.array(["a", "b"])}
    return {"pose": pose, **about, "fps": np.array([30.3, 15.0], np.float32)} | changes


def test_stretches_of_a_label_are_spans(tmp_path: Path) -> None:
    np.savez(tmp_path / "wue.npz", **arrays())
    one, other = read_pose_streams(tmp_path, image_size="1280x720")
    assert one.spans == (Annotation("swipe", 3, 6), Annotation("spin", 7, 8))
    assert other.spans == (Annotation("swipe", 0, 4),)
    assert (one.subject, other.subject, one.frames, other.fps) == ("wue/a", "wue/b", 10, 15.0)
    np.testing.assert_allclose(one.coords[0, :, :, 0], arrays()["pose"][:10, :, 0] * 16 / 9, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pose": np.zeros((15, 21, 4), np.float32)}, "wrong joint count"),
        ({"lengths": np.array([10, 6])}, "lengths do not add up"),
        ({"frame_labels": np.array(LABELS[:-1])}, "do not fit"),
        ({"fps": np.array([30.0])}, "do not fit"),
    ],
)
def test_bad_file_is_named(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    np.savez(tmp_path / "wue.npz", **arrays(**change))
    with pytest.raises(InputError, match=reason) as caught:
        list(read_pose_streams(tmp_path))
    assert "wue.npz" in str(caught.value)


def test_any_sensor_has_labels_a_frame(tmp_path: Path) -> None:
    frames = np.zeros((15, 21, 3), np.float32)
    np.savez(tmp_path / "a.npz", frames=frames, lengths=[10, 5], frame_labels=np.array(LABELS))
    one, other = read_npz(tmp_path, layout="mediapipe_hand21", units="metres")
    assert one.label is None and [span.label for span in one.spans] == ["swipe", "spin"]
    assert other.spans == (Annotation("swipe", 0, 4),)
    np.savez(tmp_path / "a.npz", frames=frames, frame_labels=np.array(LABELS[:4]))
    with pytest.raises(InputError, match="frame_labels"):
        list(read_npz(tmp_path, layout="mediapipe_hand21", units="metres"))


def test_a_label_that_comes_twice_is_two_spans() -> None:
    assert spans_of(["a", "", "a"]) == (Annotation("a", 0, 0), Annotation("a", 2, 2))
