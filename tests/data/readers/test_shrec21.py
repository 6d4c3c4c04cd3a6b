"""SHREC 2021: recordings, their annotated gestures, and every way a file can be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from last_edge.data.readers.shrec21 import GESTURES, read_shrec21
from last_edge.errors import InputError
from last_edge.skeleton import Annotation


def row(frame: int) -> str:
    joints = (f"{frame / 100:g};{joint / 100:g};0.5;0;0;0;1" for joint in range(20))
    return ";".join(joints) + ";"


def make_source(folder: Path, **changes: Any) -> Path:
    texts = {
        "training_set/sequences/13.txt": "\n".join(row(frame) for frame in range(30)) + "\n\n",
        "training_set/sequences/2.txt": "\n".join(row(frame) for frame in range(20)),
        "test_set/sequences/109.txt": "\n".join(row(frame) for frame in range(10)),
        "training_set/annotations_revised_training.txt": "13;TAP;12;15;LEFT;3;7; \n2;OK;4;25;\n",
        "test_set/annotations_revised.txt": "109;V;5;2;ONE;7;9;\n",
    }
    for name, text in (texts | {key.replace("__", "/") + ".txt": value for key, value in changes.items()}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_recordings_come_by_number_with_their_gestures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    two, thirteen, test = read_shrec21(make_source(tmp_path))
    assert two.spans == (Annotation("OK", 4, 19),), "cut to the recording"
    assert thirteen.spans == (Annotation("LEFT", 3, 7), Annotation("TAP", 12, 15))
    assert test.spans == (Annotation("ONE", 7, 9),) and "V from 5 to 2 is left out" in caplog.text
    assert [clip.split for clip in (two, thirteen, test)] == ["train", "train", "test"]
    assert [clip.subject for clip in (two, thirteen, test)] == ["001-036", "001-036", "109-144"]
    assert (two.label, two.fps, two.layout.name, two.coords.shape) == (None, 50.0, "leap20", (1, 20, 20, 3))
    np.testing.assert_allclose(two.coords[0, 3, 7], [0.03, 0.07, -0.5], err_msg="z towards the user")
    assert len(GESTURES) == 17


@pytest.mark.parametrize(
    ("change", "reason", "where"),
    [
        ({"training_set__sequences__2": row(0)[:-12]}, "wrong joint count", "2.txt:1"),
        ({"training_set__sequences__2": row(0) + "\n" + row(1).replace("0.5", "nan")}, "NaN", "2.txt:2"),
        ({"training_set__sequences__2": "\n"}, "empty recording", "2.txt"),
        ({"test_set__annotations_revised": "109;WAVE;1;2;\n"}, "not understood", "annotations_revised.txt:1"),
        ({"test_set__annotations_revised": "109;ONE;1;\n"}, "not understood", "annotations_revised.txt:1"),
        ({"test_set__annotations_revised": "110;ONE;1;2;\n"}, "do not fit", "109"),
    ],
)
def test_bad_source_names_file_and_line(tmp_path: Path, change: dict[str, str], reason: str, where: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        list(read_shrec21(make_source(tmp_path, **change)))
    assert where in str(caught.value)


def test_absent_annotations_are_named(tmp_path: Path) -> None:
    (make_source(tmp_path) / "test_set/annotations_revised.txt").unlink()
    with pytest.raises(InputError, match=r"annotations_revised\.txt"):
        list(read_shrec21(tmp_path))


@pytest.mark.slow
def test_real_archive_holds_what_the_contest_says(real: Any) -> None:
    clips = list(read_shrec21(real("shrec21")))
    train, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    assert (len(train), len(test)) == (108, 72)
    assert (sum(clip.frames for clip in train), sum(clip.frames for clip in test)) == (200_869, 119_558)
    assert [sum(len(clip.spans) for clip in part) for part in (train, test)] == [407, 269], "one row of each is no span"
