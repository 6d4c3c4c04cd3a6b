"""UTD-MHAD: split by odd and even subjects, damaged files named."""

from __future__ import annotations

import io
import zipfile
from collections import Counter

import numpy as np
import pytest

from last_edge.data.readers.utd_mhad import ACTIONS, read_utd_mhad
from last_edge.errors import InputError

savemat = pytest.importorskip("scipy.io").savemat


def mat(skeleton, name="d_skel"):
    buffer = io.BytesIO()
    savemat(buffer, {name: skeleton})
    return buffer.getvalue()


def make_zip(path, files):
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


SKELETON = np.arange(20 * 3 * 5, dtype=np.float64).reshape(20, 3, 5)


def test_subject_decides_the_split_and_axes_are_turned(tmp_path):
    files = {f"Skeleton/a{action}_s{subject}_t1_skeleton.mat": mat(SKELETON) for action, subject in ((27, 1), (2, 4))}
    first, second = read_utd_mhad(make_zip(tmp_path / "Skeleton.zip", files))
    assert (first.label, first.subject, first.split) == ("swipe right", "4", "test")
    assert (second.label, second.subject, second.split) == ("squat", "1", "train")
    np.testing.assert_array_equal(first.coords[0, 3, 7], SKELETON[7, :, 3])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged"),
        (mat(SKELETON)[:700], "damaged"),
        (b"\x80\x04K\x01.", "damaged"),
        (mat(SKELETON, "skeleton"), "no skeleton"),
        (mat(SKELETON[:19]), "wrong joint count"),
        (mat(np.where(SKELETON == 7, np.nan, SKELETON)), "NaN"),
        (mat(np.where(SKELETON == 7, np.inf, SKELETON)), "infinite"),
        (mat(np.where(SKELETON == 7, 1e300, SKELETON)), "infinite"),
    ],
)
def test_bad_file_is_named(tmp_path, content, reason):
    source = make_zip(tmp_path / "Skeleton.zip", {"a1_s1_t1_skeleton.mat": content})
    with pytest.raises(InputError, match=reason) as caught:
        list(read_utd_mhad(source))
    assert "a1_s1_t1_skeleton.mat" in str(caught.value)


def test_action_outside_the_dataset(tmp_path):
    source = make_zip(tmp_path / "Skeleton.zip", {"a28_s1_t1_skeleton.mat": mat(SKELETON)})
    with pytest.raises(InputError, match="1..27"):
        list(read_utd_mhad(source))


def test_folder_without_clips(tmp_path):
    with pytest.raises(InputError, match="no UTD-MHAD clips"):
        list(read_utd_mhad(tmp_path))


def test_real_archive(real):
    clips = list(read_utd_mhad(real("utd_mhad")))
    assert Counter(clip.split for clip in clips) == {"train": 431, "test": 430}
    assert {clip.label for clip in clips} == set(ACTIONS)
    head, foot = clips[0].coords[0, :, 0, 1], clips[0].coords[0, :, 15, 1]
    assert (head > foot).all(), "y points up"
