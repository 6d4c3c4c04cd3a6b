"""NTU RGB+D: protocols by id, and the rules for bodies, on files in the official text format."""

from __future__ import annotations

import logging
import tracemalloc

import numpy as np
import pytest

from last_edge.data.augment import VERTICAL, Augment, augment
from last_edge.data.prepare import prepare
from last_edge.data.readers.ntu import (
    TRAIN_SUBJECTS,
    centre_bodies,
    missing_ids,
    motion_energy,
    parse_name,
    parse_skeleton,
    read_ntu,
    rotate_bodies,
    select_bodies,
)
from last_edge.errors import InputError, UsageError
from last_edge.skeleton import get_layout

NAME = "S001C002P003R001A007"


def person(frames, *, at=0.0, motion=0.1, seed=0):
    """(T, 25, 3): a standing body twice as high as wide, moving a little."""
    rng = np.random.default_rng(seed)
    rest = np.stack([np.linspace(-0.4, 0.4, 25), np.linspace(-0.9, 0.9, 25), np.full(25, 3.0)], -1)
    rest[:, 0] += at
    return (rest + motion * rng.normal(size=(frames, 25, 3))).astype(np.float32)


def skeleton_text(frames, bodies):
    """The official text; bodies is id -> (T, 25, 3) with NaN in frames without it."""
    lines = [str(frames)]
    for frame in range(frames):
        here = [(name, body[frame]) for name, body in bodies.items() if not np.isnan(body[frame]).all()]
        lines.append(str(len(here)))
        for name, joints in here:
            lines += [f"{name} 0 1 1 1 1 0 0.02 -0.1 2", "25"]
            lines += [" ".join(f"{value:.7g}" for value in joint) + " 250 200 960 540 0 0 0 0 2" for joint in joints]
    return "\n".join(lines) + "\n"


def write(folder, bodies, *, name=NAME, frames=20):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.skeleton").write_text(skeleton_text(frames, bodies))
    return folder


def test_text_is_parsed_into_tracked_bodies():
    late = person(20, at=1, seed=1)
    late[:5] = np.nan
    bodies = parse_skeleton(skeleton_text(20, {"72057": person(20), "72058": late}), "x")
    np.testing.assert_allclose(bodies["72057"], person(20), rtol=1e-6)
    np.testing.assert_allclose(bodies["72058"], late, rtol=1e-6)


def test_joint_at_the_origin_is_missing():
    body = person(3)
    body[1, 4] = 0
    assert np.isnan(parse_skeleton(skeleton_text(3, {"1": body}), "x")["1"][1, 4]).all()


def test_a_small_file_cannot_claim_much_memory():
    def body(name):
        return f"{name} 0 1 1 1 1 0 0 0 2\n25\n" + "1 1 1 1\n" * 25

    promises = "100000\n90\n" + "".join(body(name) for name in range(90))
    crowd = "2\n101\n" + "".join(body(name) for name in range(101)) + "0\n"
    long = "20000\n60\n" + "".join(body(name) for name in range(60)) + "0\n" * 19_999
    for text, told in ((promises, "too many bodies"), (promises[:2000], "truncated"), (crowd, "101 bodies"),
                       (long, "51 bodies, 20000 frames")):  # fmt: skip
        tracemalloc.start()
        with pytest.raises(InputError, match=told):
            parse_skeleton(text, "x")
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()


TEXT = skeleton_text(2, {"1": person(2)})
LINES = TEXT.splitlines()


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("", "truncated", 1),
        ("\n".join(LINES[:-1]), "truncated", 57),
        ("\n".join(LINES[:29]), "truncated", 30),
        ("\n".join([*LINES[:-1], LINES[-1][:10]]), "truncated joint", 57),
        (TEXT + "0\n", "more lines", 58),
        ("0\n", "empty clip", 1),
        ("two\n", "not understood", 1),
        (TEXT.replace("\n25\n", "\n24\n", 1), "wrong joint count", 4),
        ("\n".join([*LINES[:4], "nan 1 2 3", *LINES[5:]]), "NaN", 5),
        ("\n".join([*LINES[:4], "1 inf 2 3", *LINES[5:]]), "infinite", 5),
        ("\n".join([*LINES[:4], "1 x 2 3", *LINES[5:]]), "not a number", 5),
        ("\n".join([*LINES[:2], "1 0 1", *LINES[3:]]), "body header", 3),
    ],
)
def test_bad_file_names_file_line_and_reason(tmp_path, text, reason, line):
    file = tmp_path / f"{NAME}.skeleton"
    file.write_text(text)
    with pytest.raises(InputError, match=reason) as caught:
        list(read_ntu(tmp_path))
    assert f"{file}:{line}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "xsub", "xview", "xset"),
    [
        ("S001C001P001R001A001", "train", "test", "test"),
        ("S002C002P003R002A060", "test", "train", "train"),
        ("S018C003P042R001A061", "test", "train", "train"),
        ("S017C001P103R001A120", "train", "test", "test"),
    ],
)
def test_protocols_follow_the_ids(name, xsub, xview, xset):
    parsed = parse_name(f"folder/{name}.skeleton")
    assert [parsed.split(kind) for kind in ("xsub", "xview", "xset")] == [xsub, xview, xset]


def test_training_subjects_are_20_of_40_and_53_of_106():
    assert len([subject for subject in TRAIN_SUBJECTS if subject <= 40]) == 20
    assert len(TRAIN_SUBJECTS) == 53
    assert max(TRAIN_SUBJECTS) <= 106


def test_clip_says_what_its_name_says(tmp_path):
    (clip,) = read_ntu(write(tmp_path, {"1": person(20)}), split_type="xview")
    assert (clip.label, clip.subject, clip.camera, clip.setup) == ("A007", "P003", "C002", "S001")
    assert (clip.split, clip.source_id, clip.coords.shape) == ("train", NAME, (2, 20, 25, 3))
    assert np.isnan(clip.coords[1]).all()


def test_label_is_action_minus_one_of_60_or_120(tmp_path):
    prepare("ntu", write(tmp_path / "a", {"1": person(20)}), out=tmp_path / "s60")
    write(tmp_path / "a", {"1": person(20)}, name="S018C001P001R001A061")
    prepared = prepare("ntu", tmp_path / "a", out=tmp_path / "s120")
    from last_edge.clips import ClipStore

    small, large = ClipStore.open(tmp_path / "s60"), ClipStore.open(tmp_path / "s120")
    assert (len(small.labels), small.index.label.tolist()) == (60, [6])
    assert (len(large.labels), large.index.label.tolist(), prepared.classes) == (120, [6, 60], 120)


def test_missing_list_leaves_clips_out_by_name(tmp_path):
    source = write(tmp_path / "a", {"1": person(20)})
    write(source, {"1": person(20)}, name="S001C002P003R002A013")
    listed = tmp_path / "missing.txt"
    listed.write_text("samples with missing skeletons:\nS001C002P003R002A013\n")
    assert [clip.source_id for clip in read_ntu(source, missing_list=listed)] == [NAME]
    listed.write_text("nothing here\n")
    with pytest.raises(InputError, match="names no clip"):
        list(read_ntu(source, missing_list=listed))


def test_official_missing_list_is_left_out_unless_none_is_asked_for(tmp_path):
    source = write(tmp_path / "a", {"1": person(20)}, name="S001C002P005R002A008")
    write(source, {"1": person(20)})
    assert "S001C002P005R002A008" in missing_ids()
    assert [clip.source_id for clip in read_ntu(source)] == [NAME]
    assert len(list(read_ntu(source, missing_list="none"))) == 2
    with pytest.raises(InputError, match="official"):
        list(read_ntu(source, missing_list="oficial"))


def test_ntu60_is_taken_out_of_a_folder_that_holds_ntu120(tmp_path):
    source = write(tmp_path / "a", {"1": person(20)})
    write(source, {"1": person(20)}, name="S018C001P042R001A061")
    assert [clip.source_id for clip in read_ntu(source, classes=60)] == [NAME]
    with pytest.raises(UsageError, match="60, 120"):
        list(read_ntu(source, classes=61))


def test_clip_without_any_body_is_left_out_with_a_warning_and_counted(tmp_path, caplog):
    source = write(tmp_path / "a", {})
    with pytest.raises(InputError, match="no clip shows any point"):
        prepare("ntu", source, out=tmp_path / "store")
    write(source, {"1": person(20)}, name="S001C002P003R002A013")
    with caplog.at_level(logging.WARNING):
        prepared = prepare("ntu", source, out=tmp_path / "store")
    assert (prepared.clips, prepared.left_out) == (1, (NAME,))
    assert NAME in caplog.text


def test_bodies_are_ranked_by_motion_and_two_are_kept():
    bodies = {str(motion): person(30, motion=motion, seed=int(motion * 100)) for motion in (0.02, 0.2, 0.1)}
    kept = select_bodies(bodies)
    assert [body is bodies[name] for body, name in zip(kept, ("0.2", "0.1"), strict=True)] == [True, True]
    assert motion_energy(kept[0]) > motion_energy(kept[1])


def test_short_and_wide_bodies_are_noise_beside_a_person():
    short = person(30, motion=0.5, seed=1)
    short[11:] = np.nan
    wide = person(30, motion=0.01, seed=2)[..., [1, 0, 2]] * 2
    still = person(30, motion=0.01, seed=3)
    assert [body is still for body in select_bodies({"a": short, "b": wide, "c": still})] == [True]


def test_one_person_under_two_tracking_ids_is_one_body():
    whole, other = person(40, motion=0.3), person(40, at=1, motion=0.1, seed=1)
    early, late = whole.copy(), whole.copy()
    early[20:], late[:20] = np.nan, np.nan
    kept = select_bodies({"a": early, "b": other, "c": late})
    assert len(kept) == 2
    np.testing.assert_array_equal(kept[0], whole)
    assert kept[1] is other


def test_one_frame_of_handing_over_still_joins():
    whole = person(40, motion=0.3)
    early, late = whole.copy(), whole.copy()
    early[21:], late[:20] = np.nan, np.nan
    late[20] *= 0.9
    (kept,) = select_bodies({"a": early, "b": late})
    assert (kept[20] == whole[20]).all() or (kept[20] == late[20]).all()
    np.testing.assert_array_equal(np.delete(kept, 20, 0), np.delete(whole, 20, 0))
    late[19] = whole[19]
    assert len(select_bodies({"a": early, "b": late})) == 2


def test_two_people_of_a_single_frame_stay_two():
    assert len(select_bodies({"a": person(1), "b": person(1, at=1, seed=1)})) == 2


def test_a_body_seen_within_the_gap_of_another_stays_apart():
    gap, inside = person(40, motion=0.3), person(40, at=1, seed=1)
    gap[13:27] = np.nan
    inside[:14], inside[26:] = np.nan, np.nan
    assert [body is each for body, each in zip(select_bodies({"a": gap, "b": inside}), (gap, inside), strict=True)] == [
        True,
        True,
    ]


def test_the_only_body_is_never_noise():
    wide = person(30)[..., [1, 0, 2]]
    assert select_bodies({"a": wide})[0] is wide
    assert len(select_bodies({"a": wide, "b": wide.copy()})) == 2


def test_both_bodies_are_centred_on_body_0s_first_valid_frame(tmp_path):
    first, second = person(20, motion=0.3), person(20, at=1.5, motion=0.1, seed=1)
    first[:2] = np.nan
    (clip,) = read_ntu(write(tmp_path, {"1": second, "2": first}))
    assert np.isnan(clip.coords[0, :2]).all()
    np.testing.assert_allclose(clip.coords[0, 2, 0], 0, atol=1e-6)
    np.testing.assert_allclose(clip.coords[1] - clip.coords[0], second - first, atol=1e-5)
    (raw,) = read_ntu(tmp_path, centre=False)
    np.testing.assert_allclose(raw.coords[1], second, rtol=1e-5)


def test_rotation_stands_the_body_up_and_is_rigid():
    points = np.stack([person(6, seed=4), person(6, at=1, seed=5)])
    centred = centre_bodies(points)
    turned = rotate_bodies(centred)
    spine, shoulders = turned[0, 0, 1] - turned[0, 0, 0], turned[0, 0, 8] - turned[0, 0, 4]
    assert np.abs(spine[[0, 2]]).max() < 1e-5 < spine[1]
    assert abs(shoulders[2]) < 1e-5 < shoulders[0]
    lengths = [np.linalg.norm(each[0] - each[1], axis=-1) for each in (centred, turned)]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-4)
    basis = np.linalg.lstsq(centred.reshape(-1, 3), turned.reshape(-1, 3), rcond=None)[0]
    assert np.linalg.det(basis) == pytest.approx(1, abs=1e-3)


def test_rotated_bodies_stand_on_the_axis_that_augmentation_turns_about():
    turned = rotate_bodies(centre_bodies(np.stack([person(6, seed=4)])))
    spine = turned[0, 0, 1] - turned[0, 0, 0]
    assert np.abs(spine).argmax() == VERTICAL
    moved = augment(
        turned, frames=6, layout=get_layout("ntu25"), ranges=Augment(rotation_deg=180), random=np.random.default_rng(1)
    )
    np.testing.assert_allclose(moved[0, 0, 1] - moved[0, 0, 0], spine, atol=1e-6)
    assert not np.allclose(moved, turned, atol=0.1)


def test_unknown_protocol_and_empty_folder(tmp_path):
    with pytest.raises(UsageError, match="xsub"):
        list(read_ntu(tmp_path, split_type="cross"))
    with pytest.raises(InputError, match="no NTU clips"):
        list(read_ntu(tmp_path))


def test_zip_that_leaves_its_folder(tmp_path):
    import zipfile

    source = tmp_path / "ntu.zip"
    with zipfile.ZipFile(source, "w") as packed:
        packed.writestr(f"../{NAME}.skeleton", TEXT)
    with pytest.raises(InputError, match="leaves its folder"):
        list(read_ntu(source))
