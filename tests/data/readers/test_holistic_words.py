"""Webcam words: absent hands are missing points, both axes count image heights."""

from __future__ import annotations

import numpy as np
import pytest

from last_edge.data.readers.holistic_words import read_holistic_words
from last_edge.errors import InputError, UsageError


def make_source(folder, signer="a", **changes):
    arrays = {
        "pose": np.full((5, 33, 4), 0.5, np.float32),
        "left_hand": np.full((5, 21, 3), 0.25, np.float32),
        "right_hand": np.zeros((5, 21, 3), np.float32),
        "face8": np.full((5, 8, 3), 0.75, np.float32),
        "lens": np.array([2, 3]),
        "labels": np.array(["yes", "no"]),
        "seq": np.array([0, 7]),
    }
    arrays |= changes
    np.savez(folder / f"signer_{signer}.npz", **{name: array for name, array in arrays.items() if array is not None})
    return folder


def test_clips_of_one_recorder(tmp_path):
    yes, no = read_holistic_words(make_source(tmp_path))
    assert (yes.label, yes.subject, yes.source_id, yes.frames, yes.split) == ("yes", "a", "signer_a/yes/0", 2, "")
    assert (no.label, no.source_id, no.frames, no.units) == ("no", "signer_a/no/7", 3, "image01")
    np.testing.assert_allclose(yes.coords[0, 0, 0], [0.5 * 4 / 3, 0.5, 0.5 * 4 / 3], rtol=1e-6)
    assert np.isnan(yes.coords[0, :, 54:75]).all()
    assert not np.isnan(yes.coords[0, :, :54]).any()
    assert yes.confidence[0, 0, [0, 33, 54]].tolist() == [0.5, 1.0, 0.0]


def test_one_file_of_many_recorders(tmp_path):
    arrays = {
        "pose": np.full((5, 33, 4), 0.5, np.float32),
        "left_hand": np.full((5, 21, 3), np.nan, np.float32),
        "right_hand": np.full((5, 21, 3), 0.25, np.float32),
        "lengths": np.array([2, 3]),
        "labels": np.array(["yes", "no"]),
        "subjects": np.array(["s1", "s2"]),
    }
    np.savez(tmp_path / "signs_all.npz", **arrays)
    yes, no = read_holistic_words(tmp_path / "signs_all.npz")
    assert (yes.subject, no.subject, no.source_id, no.frames) == ("s1", "s2", "signer_s2/no/1", 3)
    assert np.isnan(yes.coords[0, :, 33:54]).all() and not np.isnan(yes.coords[0, :, 54:]).any()
    np.savez(tmp_path / "signs_all.npz", **{**arrays, "subjects": np.array(["s1"])})
    with pytest.raises(InputError, match="do not fit"):
        list(read_holistic_words(tmp_path))


def test_options(tmp_path):
    (no,) = read_holistic_words(
        make_source(tmp_path), layout="mediapipe_holistic83", image_size="100x50", fps=15, words=("no",)
    )
    assert (no.coords.shape, no.fps) == ((1, 3, 83, 3), 15)
    np.testing.assert_allclose(no.coords[0, 0, 80], [1.5, 0.75, 1.5])


@pytest.mark.parametrize("options", [{"image_size": "640"}, {"image_size": "640x0"}, {"layout": "ntu25"}])
def test_bad_option(tmp_path, options):
    with pytest.raises(UsageError):
        list(read_holistic_words(make_source(tmp_path), **options))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pose": np.zeros((5, 32, 4), np.float32)}, "wrong joint count"),
        ({"left_hand": np.zeros((4, 21, 3), np.float32)}, "different length"),
        ({"left_hand": np.full((5, 21, 3), np.inf, np.float32)}, "infinite"),
        ({"left_hand": np.full((5, 21, 3), np.nan, np.float32)}, "NaN"),
        ({"lens": np.array([2, 4])}, "add up"),
        ({"labels": None}, "'labels' is absent"),
        ({"labels": np.array(["yes", {}], dtype=object)}, "pickle"),
    ],
)
def test_bad_file_is_named(tmp_path, changes, reason):
    with pytest.raises(InputError, match=reason) as caught:
        list(read_holistic_words(make_source(tmp_path, **changes)))
    assert "signer_a.npz" in str(caught.value)


def test_real_recorder_has_a_face_of_human_proportions(real):
    clips = list(read_holistic_words(real("holistic_words") / "signer_a.npz"))
    assert len(clips) == 90
    assert {clip.label for clip in clips} == {"hello", "thanks", "iloveyou"}
    assert len({clip.source_id for clip in clips}) == 90
    points = np.concatenate([clip.coords[0] for clip in clips])
    eyes = np.abs(points[:, 2, 0] - points[:, 5, 0]).mean()
    eyes_to_mouth = (points[:, [9, 10], 1].mean(1) - points[:, [2, 5], 1].mean(1)).mean()
    assert 0.75 < eyes / eyes_to_mouth < 1.1, "640x480 fits the faces"
    assert 0.4 < np.isnan(points[:, 33:75]).mean() < 0.6
