"""SHREC'17: lists, labels, split, and every way a file can be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.data.readers.shrec17 import read_dhg, read_shrec17, shrec17_labels
from last_edge.errors import InputError, UsageError

ROW = " ".join(f"{number / 100:.2f}" for number in range(66))
CLIP = "gesture_8/finger_2/subject_3/essai_1"


def make_source(tmp_path, *, rows=(ROW,) * 4, train="8 2 3 1 8 16 4\n", test="1 1 9 2 1 1 2\n"):
    for name, text in ((CLIP, rows), ("gesture_1/finger_1/subject_9/essai_2", (ROW,) * 2)):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "skeletons_world.txt").write_text("\n".join(text) + "\n")
    (tmp_path / "train_gestures.txt").write_text(train)
    (tmp_path / "test_gestures.txt").write_text(test)
    return tmp_path


def test_lists_give_split_subject_and_label(tmp_path):
    swipe, grab = read_shrec17(make_source(tmp_path))
    assert (swipe.label, swipe.subject, swipe.split, swipe.source_id) == ("swipe left", "03", "train", CLIP)
    assert (grab.label, grab.subject, grab.split, grab.frames) == ("grab", "09", "test", 2)
    assert (swipe.layout.name, swipe.units, swipe.coords.shape) == ("shrec22", "metres", (1, 4, 22, 3))
    np.testing.assert_allclose(swipe.coords[0, 0, 1], [0.03, 0.04, 0.05])


def test_28_labels_follow_the_official_numbers(tmp_path):
    names = shrec17_labels(28)
    swipe, grab = read_shrec17(make_source(tmp_path), labels=28)
    assert (names.index(swipe.label), names.index(grab.label)) == (15, 0)
    assert len(set(names)) == 28
    with pytest.raises(UsageError, match="14 or 28"):
        shrec17_labels(15)


@pytest.mark.parametrize(
    ("change", "reason", "where"),
    [
        ({"rows": (ROW,) * 3}, "truncated clip", "skeletons_world.txt"),
        ({"rows": (ROW, ROW, ROW, ROW[:-10])}, "wrong joint count", "skeletons_world.txt:4"),
        ({"rows": (ROW, ROW.replace("0.05", "nan"), ROW, ROW)}, "NaN", "skeletons_world.txt:2"),
        ({"rows": (ROW, ROW, ROW.replace("0.05", "inf"), ROW)}, "infinite", "skeletons_world.txt:3"),
        ({"rows": (ROW, ROW, ROW.replace("0.05", "0.O5"), ROW)}, "not a number", "skeletons_world.txt:3"),
        ({"rows": ("",)}, "empty clip", "skeletons_world.txt"),
        ({"train": "8 2 4 1 8 16 4\n"}, "absent", "train_gestures.txt:1"),
        ({"train": "8 2 3 1 8 16 4\n" * 2}, "listed twice", "train_gestures.txt:2"),
        ({"test": "8 2 3 1 8 16 4\n"}, "listed twice", "test_gestures.txt:1"),
        ({"train": "8 2 3 1 8 15 4\n"}, "labels do not fit", "train_gestures.txt:1"),
        ({"train": "8 2 3 1 8\n"}, "not understood", "train_gestures.txt:1"),
    ],
)
def test_bad_source_names_file_and_line(tmp_path, change, reason, where):
    with pytest.raises(InputError, match=reason) as caught:
        list(read_shrec17(make_source(tmp_path, **change)))
    assert str(tmp_path / where) in str(caught.value).replace(CLIP + "/", "") or where in str(caught.value)


def test_absent_list_is_named(tmp_path):
    (make_source(tmp_path) / "test_gestures.txt").unlink()
    with pytest.raises(InputError, match="test_gestures"):
        list(read_shrec17(tmp_path))


@pytest.mark.slow
def test_real_archive_has_the_official_split(real):
    clips = list(read_shrec17(real("shrec17")))
    people = {split: {clip.subject for clip in clips if clip.split == split} for split in ("train", "test")}
    counts = [sum(clip.split == split for clip in clips) for split in ("train", "test")]
    assert counts == [1960, 840]
    assert (len(people["train"]), len(people["test"]), people["train"] & people["test"]) == (20, 8, set())
    lengths = [clip.frames for clip in clips]
    assert (min(lengths), max(lengths), np.median(lengths)) == (7, 171, 57)
    up = np.mean([clip.coords[0, -1, 1, 1] - clip.coords[0, 0, 1, 1] for clip in clips if clip.label == "swipe up"])
    assert up > 0, "y points up"


def test_dhg_is_cut_to_its_effective_gestures(tmp_path):
    rows = ["{} ".format(" ".join(str(frame + joint / 100) for joint in range(66))) for frame in range(10)]
    for gesture, finger, subject, essai in ((1, 1, 3, 1), (2, 2, 4, 5)):
        place = tmp_path / f"gesture_{gesture}/finger_{finger}/subject_{subject}/essai_{essai}"
        place.mkdir(parents=True)
        (place / "skeleton_world.txt").write_text("\n".join(rows))
    (tmp_path / "informations_troncage_sequences.txt").write_text("1 1 3 1 2 6\n2 2 4 5 0 9\n")
    one, other = read_dhg(tmp_path, labels=28)
    assert (one.label, one.subject, one.frames, one.split) == ("grab, one finger", "03", 5, "")
    assert (other.label, other.subject, other.frames) == ("tap, whole hand", "04", 10)
    assert one.coords[0, 0, 0, 0] == 2.0
    (tmp_path / "informations_troncage_sequences.txt").write_text("1 1 3 1 2 12\n")
    with pytest.raises(InputError, match="leaves its clip"):
        list(read_dhg(tmp_path))
